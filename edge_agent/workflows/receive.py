"""Receiving a delivery note box by box: the whole note or nothing, and nothing is in stock before the last box."""

from itertools import islice

import msgspec

from edge_agent.notify import Change
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.documents import DeliveryNote, NoteLine, NoteState, Product
from sync_protocol.facts import MAX_CODES, What
from sync_protocol.items import Kind
from sync_protocol.lifecycle import Reason

MISSING_SHOWN = 20
OPEN_RECEIPTS = 50


class LineProgress(msgspec.Struct, frozen=True, kw_only=True):
    line: NoteLine
    product: Product | None
    done: int
    total: int


class NoteProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the receipt of one note is."""

    note: DeliveryNote
    lines: tuple[LineProgress, ...]
    done: int
    total: int
    missing: tuple[str, ...]
    """The first codes that are still to be scanned."""

    @property
    def is_complete(self) -> bool:
        return self.done == self.total


class Receive:
    """Receipts under way. All seats share them: two people may work through one note."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._scanned: dict[str, set[str]] = {}

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
        scanned = self._scanned.get(note.id, set())
        lines = tuple(
            LineProgress(
                line=line,
                product=self._bench.stock.product(line.product),
                done=sum(code in scanned for code in line.codes),
                total=len(line.codes),
            )
            for line in note.lines
        )
        codes = note.codes
        return NoteProgress(
            note=note,
            lines=lines,
            done=sum(line.done for line in lines),
            total=len(codes),
            missing=tuple(islice((code for code in codes if code not in scanned), MISSING_SHOWN)),
        )

    async def scan(self, note_id: str, code: Code, act: Act) -> Verdict:
        """Count one box of the note; the last one receives the note. Raises Refuse, or the recorder's own errors."""
        note = self.note(note_id)
        line = self._line_of(note, code)
        self._bench.agree(code, product=line.product, lot=line.lot, expiry=line.expiry)
        scanned = self._open(note)
        result = Result.REPEAT if code.key in scanned else Result.PROGRESS
        scanned.add(code.key)
        self._bench.notifier.publish(Change.NOTES)
        progress = self.progress(note)
        if progress.is_complete:
            return await self.finish(note_id, act, last=code.key)
        return self._verdict(progress, result).about(self._bench.stock.item(code.key), self._product(line)).on(code.key)

    async def finish(self, note_id: str, act: Act, *, last: str = "") -> Verdict:
        """Receive a note whose boxes were all scanned. Raises Refuse, or the recorder's own errors."""
        note = self.note(note_id)
        progress = self.progress(note)
        if not progress.is_complete:
            missing = ", ".join(progress.missing)
            raise Refuse(StepReason.SCAN_MISSING, found=f"{progress.done} / {progress.total}", expected=missing)
        codes = note.codes
        facts = [
            self._bench.fact(What.RECEIVED, codes[start : start + MAX_CODES], act, document=note.id)
            for start in range(0, len(codes), MAX_CODES)
        ]
        await self._bench.recorder.record(*facts)
        self._scanned.pop(note.id, None)
        self._bench.notifier.publish(Change.NOTES, Change.STOCK)
        return self._verdict(progress, Result.DONE).on(last)

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

    def _open(self, note: DeliveryNote) -> set[str]:
        if note.id not in self._scanned and len(self._scanned) >= OPEN_RECEIPTS:
            # The one opened first is started anew: nothing of it was recorded.
            del self._scanned[next(iter(self._scanned))]
        return self._scanned.setdefault(note.id, set())

    def _product(self, line: NoteLine) -> Product | None:
        return self._bench.stock.product(line.product)

    def _verdict(self, progress: NoteProgress, result: Result) -> Verdict:
        return Verdict(
            result=result,
            step=Step.RECEIVE,
            note=progress.note.id,
            done=progress.done,
            total=progress.total,
            missing=progress.missing,
        )
