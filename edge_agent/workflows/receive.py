"""Receiving a delivery note by its boxes or outer packs: nothing is in stock before it is whole, or two people say so.

An outer pack stands for the boxes that the note says are in it (A01). Where the code platform has not said so yet, the
pack waits with the receipt, and its boxes count as soon as the relation is here; scanning them one by one goes as ever.
A box whose code cannot be read counts by the word of two people: a fact of its own, with their reason (A11).
"""

from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code, CodeForm
from sync_protocol.documents import DeliveryNote, NoteLine, NoteState, Pack, Product
from sync_protocol.facts import MAX_CODES, Fact, How, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.lifecycle import Reason

MISSING_SHOWN = 20
OPEN_RECEIPTS = 50
AWAITED_AT_MOST = 500


class LineProgress(msgspec.Struct, frozen=True, kw_only=True):
    line: NoteLine
    product: Product | None
    done: int
    total: int


class NoteProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the receipt of one note is. ``fresh``: counted and not recorded yet."""

    note: DeliveryNote
    lines: tuple[LineProgress, ...]
    done: int
    total: int
    fresh: int
    missing: tuple[str, ...]
    """The first codes that are still to be scanned."""
    extra: tuple[str, ...]
    """Boxes of scanned packs that are not on the note."""
    awaited: tuple[str, ...]
    """Outer packs whose boxes the code platform has not named yet."""
    overridden: tuple[str, ...]
    """Boxes that count without a scan."""

    @property
    def is_complete(self) -> bool:
        return self.done == self.total


class Receipt:
    """What was scanned of one note here; nothing of it is recorded."""

    def __init__(self) -> None:
        self.scanned: set[str] = set()
        self.awaited: set[str] = set()
        self.extra: set[str] = set()
        self.overrides: dict[str, Act] = {}
        """By whose word a box counts whose code cannot be read; its scan, or that of its pack, takes their place."""

    @property
    def counted(self) -> set[str]:
        return self.scanned | self.overrides.keys()

    def settle(self, packs: Mapping[str, Pack], codes: tuple[str, ...]) -> None:
        """Count the boxes of packs that were scanned before their relation was known."""
        for code in sorted(self.awaited & packs.keys()):
            self.awaited.discard(code)
            self.add(packs[code], codes)

    def add(self, pack: Pack, codes: tuple[str, ...]) -> int:
        """Count the boxes of a pack; how many were not counted yet."""
        before = len(self.counted)
        self.scanned.update(codes[place] for place in pack.boxes)
        self.extra.update(pack.extra)
        return len(self.counted) - before


class Receive:
    """Receipts under way. All seats share them: two people may work through one note."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._receipts: dict[str, Receipt] = {}

    def notes(self) -> list[DeliveryNote]:
        """Notes of boxes that this place still expects."""
        notes = self._bench.stock.notes(location=self._bench.location, state=NoteState.EXPECTED)
        return [note for note in notes if note.kind is Kind.BOX and note.codes]

    def note(self, note_id: str) -> DeliveryNote:
        """The note, if this place can receive it now. Raises Refuse."""
        note = self._bench.stock.note(note_id)
        if (
            note is None
            or note.kind is not Kind.BOX
            or note.location != self._bench.location
            or note.state is not NoteState.EXPECTED
        ):
            raise Refuse(StepReason.NOTE_GONE, found=note_id)
        return note

    def progress(self, note: DeliveryNote) -> NoteProgress:
        receipt = self._receipts.get(note.id) or Receipt()
        codes = note.codes
        receipt.settle({pack.code: pack for pack in note.packs}, codes)
        items = self._bench.stock.items(codes)
        before = {code for code, item in items.items() if _is_received(item)}
        done = receipt.counted | before
        lines = tuple(
            LineProgress(
                line=line,
                product=self._bench.stock.product(line.product),
                done=sum(code in done for code in line.codes),
                total=len(line.codes),
            )
            for line in note.lines
        )
        return NoteProgress(
            note=note,
            lines=lines,
            done=sum(line.done for line in lines),
            total=len(codes),
            fresh=len(receipt.counted - before),
            missing=tuple(islice((code for code in codes if code not in done), MISSING_SHOWN)),
            extra=tuple(sorted(receipt.extra)),
            awaited=tuple(sorted(receipt.awaited)),
            overridden=tuple(sorted(receipt.overrides.keys() - receipt.scanned)),
        )

    async def scan(self, note_id: str, code: Code, act: Act) -> Verdict:
        """Count a box or an outer pack; the last one receives the note. Raises Refuse, or the recorder's own errors."""
        note = self.note(note_id)
        pack = next((pack for pack in note.packs if pack.code == code.key), None)
        if pack is not None or self._is_outer(note, code):
            return await self._scan_pack(note, code, pack, act)
        line = self._line_of(note, code)
        self._bench.agree(code, product=line.product, lot=line.lot, expiry=line.expiry)
        receipt = self._open(note)
        result = Result.REPEAT if code.key in receipt.scanned else Result.PROGRESS
        receipt.scanned.add(code.key)
        verdict = await self._counted(note, result, code.key, act)
        if verdict.result is Result.DONE:
            return verdict
        return verdict.about(self._bench.stock.item(code.key), self._bench.stock.product(line.product))

    async def override(self, note_id: str, code: str, act: Act) -> Verdict:
        """Count a box of the note whose code cannot be read. Raises Refuse, or the recorder's own errors."""
        note = self.note(note_id)
        line = next((line for line in note.lines if code in line.codes), None)
        if line is None:
            raise Refuse(StepReason.NOT_ON_NOTE, found=code, expected=note.id)
        act.refuse_as_override()
        receipt = self._open(note)
        item = self._bench.stock.item(code)
        is_repeat = code in receipt.counted or _is_received(item)
        if not is_repeat:
            receipt.overrides[code] = act
        result = Result.REPEAT if is_repeat else Result.PROGRESS
        # Who vouches for one box does not sign for the others.
        verdict = await self._counted(note, result, code, msgspec.structs.replace(act, witness="", reason=""))
        return verdict.about(item, self._bench.stock.product(line.product))

    async def finish(self, note_id: str, act: Act, *, last: str = "") -> Verdict:
        """Receive a note whose boxes were all scanned. Raises Refuse, or the recorder's own errors."""
        note = self.note(note_id)
        progress = self.progress(note)
        if not progress.is_complete:
            missing = ", ".join(progress.missing)
            raise Refuse(StepReason.SCAN_MISSING, found=f"{progress.done} / {progress.total}", expected=missing)
        return await self._record(note, progress, act, last=last)

    async def accept(self, note_id: str, act: Act, *, reason: str) -> Verdict:
        """Receive what is here of a note that differs: with a reason and a second person. The rest stays expected.

        Raises Refuse, or the recorder's own errors.
        """
        note = self.note(note_id)
        progress = self.progress(note)
        if not reason.strip():
            raise Refuse(StepReason.REASON_MISSING)
        if act.is_alone:
            raise Refuse(Reason.SECOND_PERSON)
        if not progress.fresh:
            raise Refuse(StepReason.NOTHING_SCANNED)
        return await self._record(note, progress, act, reason=reason.strip())

    async def _record(
        self, note: DeliveryNote, progress: NoteProgress, act: Act, *, last: str = "", reason: str = ""
    ) -> Verdict:
        receipt = self._receipts.get(note.id) or Receipt()
        items = self._bench.stock.items(note.codes)
        codes = tuple(code for code in note.codes if code in receipt.counted and not _is_received(items.get(code)))
        facts = self._facts(note, receipt, codes, act, reason)
        await self._bench.recorder.record(*facts)
        self._receipts.pop(note.id, None)
        self._bench.notifier.publish(Change.NOTES, Change.STOCK)
        verdict = self._verdict(progress, Result.DONE).on(last)
        return msgspec.structs.replace(verdict, bins=tuple(self._bins(note, codes)))

    def _facts(self, note: DeliveryNote, receipt: Receipt, codes: tuple[str, ...], act: Act, reason: str) -> list[Fact]:
        """What was scanned together, and each box that was not by itself, for which its two people stand."""
        scanned = tuple(code for code in codes if code in receipt.scanned)
        facts = [
            self._bench.fact(What.RECEIVED, scanned[start : start + MAX_CODES], act, document=note.id, reason=reason)
            for start in range(0, len(scanned), MAX_CODES)
        ]
        for code in (code for code in codes if code not in receipt.scanned):
            two = receipt.overrides[code]
            how, why = How.CONSOLE, two.reason
            facts.append(self._bench.fact(What.RECEIVED, (code,), two, how=how, document=note.id, reason=why))
        return facts

    async def _scan_pack(self, note: DeliveryNote, code: Code, pack: Pack | None, act: Act) -> Verdict:
        receipt = self._open(note)
        if pack is None:
            if len(receipt.awaited) >= AWAITED_AT_MOST:
                raise Refuse(StepReason.PACK_UNKNOWN, found=code.key)
            result = Result.REPEAT if code.key in receipt.awaited else Result.PROGRESS
            receipt.awaited.add(code.key)
            self._bench.notifier.publish(Change.NOTES)
            verdict = self._verdict(self.progress(note), result).on(code.key)
            return msgspec.structs.replace(verdict, is_awaited=True)
        added = receipt.add(pack, note.codes)
        verdict = await self._counted(note, Result.PROGRESS if added else Result.REPEAT, code.key, act)
        return msgspec.structs.replace(verdict, boxes=added, extra=pack.extra)

    async def _counted(self, note: DeliveryNote, result: Result, code: str, act: Act) -> Verdict:
        self._bench.notifier.publish(Change.NOTES)
        progress = self.progress(note)
        # With more in the packs than the note says, a person decides.
        if progress.is_complete and not progress.extra and not progress.awaited:
            return await self._record(note, progress, act, last=code)
        return self._verdict(progress, result).on(code)

    def _is_outer(self, note: DeliveryNote, code: Code) -> bool:
        """Whether a code that nothing here knows may be an outer pack: the relation of this note is still awaited."""
        is_known = self._bench.stock.item(code.key) is not None or self._bench.stock.product_of(code) is not None
        return not note.packs and not is_known and code.form is CodeForm.TRACE20

    def _line_of(self, note: DeliveryNote, code: Code) -> NoteLine:
        if code.is_class:
            raise Refuse(StepReason.NAMES_NO_ITEM, found=code.key)
        for line in note.lines:
            if code.key in line.codes:
                return line
        item = self._bench.stock.item(code.key)
        if item is None:
            raise Refuse(Reason.UNKNOWN_CODE, found=code.key)
        raise Refuse(StepReason.NOT_ON_NOTE, found=item.document, expected=note.id)

    def _open(self, note: DeliveryNote) -> Receipt:
        if note.id not in self._receipts and len(self._receipts) >= OPEN_RECEIPTS:
            # The one opened first is started anew: nothing of it was recorded.
            del self._receipts[next(iter(self._receipts))]
        return self._receipts.setdefault(note.id, Receipt())

    def _bins(self, note: DeliveryNote, codes: tuple[str, ...]) -> Iterator[tuple[Product, int]]:
        received = set(codes)
        for line in note.lines:
            product = self._bench.stock.product(line.product)
            boxes = sum(code in received for code in line.codes)
            if product is not None and boxes:
                yield product, boxes

    def _verdict(self, progress: NoteProgress, result: Result) -> Verdict:
        return Verdict(
            result=result,
            step=Step.RECEIVE,
            note=progress.note.id,
            done=progress.done,
            total=progress.total,
            missing=progress.missing,
        )


def _is_received(item: Item | None) -> bool:
    """Whether the box is here already, by an earlier receipt of a part of its note."""
    return item is not None and State.EXPECTED not in {item.state, item.before}
