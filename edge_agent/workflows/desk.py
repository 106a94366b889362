"""One seat at a station: who sits there, which step is on, what the last scans came to.

The seat of the attached scanner and each PDA have a desk of their own; receipts and trays are shared between them.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import msgspec

from drivers.readings import Scan
from edge_agent.errors import Refused, SignInRefusedError, StoreError
from edge_agent.intake import code_of_entry, code_of_scan, legible, text_of
from edge_agent.notify import Change
from edge_agent.people import People, SignInFlaw
from edge_agent.workflows.bench import Act
from edge_agent.workflows.count import OBJECTS
from edge_agent.workflows.picking import Pick
from edge_agent.workflows.picture import STEPS, summed_up
from edge_agent.workflows.steps import Steps
from edge_agent.workflows.turning import turned_to
from edge_agent.workflows.undoing import Undoing
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict
from sync_protocol.codes import Code
from sync_protocol.documents import Person
from sync_protocol.errors import CodeRefused
from sync_protocol.lifecycle import Reason

VERDICTS_KEPT = 50
NEEDS_EMERGENCY = frozenset({Reason.LEASED, Reason.NOT_LEASED, Reason.NO_EMERGENCY})
"""Refusals that a reason and a second person lead out of."""


class Desk:
    def __init__(self, steps: Steps, *, people: People) -> None:
        self.steps = steps
        self._people = people
        self._undoing = Undoing(steps.bench)
        self._one_at_a_time = asyncio.Lock()
        self._number = 0
        self.person: Person | None = None
        self.step = Step.PRESCAN
        self.note = ""
        self.order = ""
        self.choice = ""
        """What the step was told beforehand: a ward that borrows, what is wrong with a box, the place of a count."""
        self.picked = ""
        """The order, box or loan of which a number of units is asked; ``OBJECTS``: of all that was counted by hand."""
        self.verdicts: deque[Verdict] = deque(maxlen=VERDICTS_KEPT)
        self.since = 0
        """Number of the last verdict before the present step was turned to."""
        self.done = 0
        """Verdicts in the journal since the person signed in."""
        self.active_us = 0
        """When something was last scanned or confirmed here, by the monotonic clock."""

    def sign_in(self, person: Person | None) -> None:
        """Seat a person, or None: the desk is left as it was found."""
        self.person = person
        self.note = self.order = self.choice = self.picked = ""
        self.done = 0
        self.since = self._number
        self.verdicts.clear()
        self._undoing.forget()
        self.steps.bench.notifier.publish(Change.PEOPLE)

    def choose(self, step: Step, *, note: str = "", order: str = "", choice: str = "", pick: str = "") -> None:
        """Turn to another step, or to another note, order or choice of it. Raises Refuse if that is not open here."""
        if note:
            self.steps.receive.note(note)
        if order:
            self.steps.orders.ticket(order)
        if pick and pick != OBJECTS and step in self.steps.tasks:
            self.steps.tasks[step].pick(pick)
        if step is not self.step:
            self.since = self._number
        self.step, self.note, self.order, self.choice, self.picked = step, note, order, choice, pick
        self.steps.bench.notifier.publish(Change.VERDICTS)

    async def scan(self, scan: Scan) -> Verdict:
        """Answer one frame of a scanner, in the order in which they come."""
        today = self.steps.bench.today()
        code = _read(lambda: code_of_scan(scan, today=today))
        if scan.data and (self.person is None or isinstance(code, CodeRefused)):
            verdict = await self._badge(scan.data, code)
            if verdict is not None:
                return verdict
        return await self._answer(scan.data, code, source=scan.source)

    async def enter(self, text: str, *, source: str) -> Verdict:
        """Answer one code that a PDA or the keyboard sent. A badge is no code there: anyone could send its text."""
        today = self.steps.bench.today()
        data = text.encode("utf-8", "surrogatepass")
        return await self._answer(data, _read(lambda: code_of_entry(text, today=today)), source=source)

    async def picture(self, picture: bytes, *, source: str) -> Verdict:
        """Answer every code in a picture, each as if it had been scanned alone. A badge is no code there either."""
        if self.step not in STEPS:
            return self.refuse(Refuse(StepReason.PICTURE_ELSEWHERE))
        try:
            scans = await self.steps.pictures.read(picture, source=source)
        except Refuse as refuse:
            return self.refuse(refuse)
        verdicts = []
        for scan in scans:
            code = _read(partial(code_of_scan, scan, today=self.steps.bench.today()))
            verdicts.append(await self._answer(scan.data, code, source=source))
        return self._keep(summed_up(self.step, verdicts))

    async def hand_out(self, order: str, *, witness: str = "", emergency: str = "", source: str = "screen") -> Verdict:
        """Confirm an order that needs no scan any more; ``emergency``: why, where another may be handing it out."""
        verdict = await self._guarded(
            lambda person: self.steps.handout.finish(order, _act(person, source, witness, emergency)),
            code="",
            order=order,
        )
        if verdict.reason in NEEDS_EMERGENCY:
            self.order = order  # its card has the way out
        return verdict

    async def override(
        self, code: str, *, order: str = "", note: str = "", reason: str, witness: str, source: str = "screen"
    ) -> Verdict:
        """Count a box of an order, else of a note, whose code cannot be read: by the word of two people (A11)."""

        async def act(person: Person) -> Verdict:
            act = msgspec.structs.replace(_act(person, source, witness), reason=reason.strip())
            if order:
                self.order = self.steps.orders.ticket(order).order.id
                return await self.steps.handout.override(order, code, act)
            self.note = self.steps.receive.note(note).id
            return self._received(await self.steps.receive.override(note, code, act))

        return await self._guarded(act, code=code, order=order, note=note)

    async def take(
        self, pick: str, quantity: int, *, witness: str = "", reason: str = "", source: str = "screen"
    ) -> Verdict:
        """Record so many units of a pick, in a step beside the main way."""
        task = self.steps.tasks.get(self.step)

        async def act(person: Person) -> Verdict:
            if task is None:
                raise Refuse(StepReason.PICK_GONE, found=pick)
            act = msgspec.structs.replace(_act(person, source, witness), reason=reason)
            verdict = await task.take(pick, quantity, act, self.choice)
            self.picked = verdict.asks
            return verdict

        return await self._guarded(act, code="")

    async def count(self, objects: Mapping[str, str], *, source: str = "screen") -> Verdict:
        """Record what was counted at the chosen place. ``objects``: by line, how many there are by hand."""

        async def act(person: Person) -> Verdict:
            verdict = await self.steps.count.finish(self.choice, objects, _act(person, source))
            self.choice = self.picked = ""
            return verdict

        return await self._guarded(act, code="")

    def count_again(self) -> None:
        """Forget what was scanned of this count; nothing of it was recorded."""
        if self.person is not None:
            self.steps.count.forget(self.person.id, self.choice)
        self.choose(Step.COUNT, choice=self.choice)

    async def on_paper(self, do: Callable[[Act], Awaitable[Verdict]], *, source: str = "screen") -> Verdict:
        """Take in a line of a sheet of paper, or close the sheet."""
        return await self._guarded(lambda person: do(_act(person, source)), code="")

    def pick(self) -> Pick | None:
        """Of which a number is asked; None: of nothing, or it is gone."""
        task = self.steps.tasks.get(self.step)
        if task is None or not self.picked:
            return None
        try:
            return task.pick(self.picked)
        except Refuse:
            return None

    async def receive(self, note: str, *, source: str = "screen") -> Verdict:
        """Confirm a note whose boxes were all scanned; only after a failed write is there anything to confirm."""
        return await self._guarded(
            lambda person: self.steps.receive.finish(note, _act(person, source)), code="", note=note
        )

    async def accept(self, note: str, *, reason: str, witness: str, source: str = "screen") -> Verdict:
        """Receive what is here of a note that differs, in the name of two people."""
        return await self._guarded(
            lambda person: self.steps.receive.accept(note, _act(person, source, witness), reason=reason),
            code="",
            note=note,
        )

    def undoable(self) -> Verdict | None:
        """The step that who sits here can undo now."""
        return self._undoing.offer(self.person.id) if self.person is not None else None

    async def undo(self, number: int, *, witness: str = "", source: str = "screen") -> Verdict:
        """Undo the step that a verdict of this number told of."""
        return await self._guarded(lambda person: self._undoing.undo(number, _act(person, source, witness)), code="")

    def refuse(self, refuse: Refuse, *, order: str = "", note: str = "") -> Verdict:
        """Show that a step was refused before it began."""
        return self._show(msgspec.structs.replace(self._refused(refuse, ""), order=order, note=note))

    async def _badge(self, data: bytes, code: Code | CodeRefused) -> Verdict | None:
        """Seat the person whose badge was scanned, also in the middle of a colleague's step; None if it was none."""
        try:
            self.sign_in(await self._people.by_badge(text_of(data)))
        except SignInRefusedError as error:
            is_code = not isinstance(code, CodeRefused)
            if is_code or (self.person is not None and error.reason == SignInFlaw.UNKNOWN_BADGE):
                return None
            return self._show(self._refused(Refuse(SignInFlaw(error.reason)), legible(data)))
        return self._show(Verdict(result=Result.DONE, step=self.step))

    async def _answer(self, data: bytes, code: Code | CodeRefused, *, source: str) -> Verdict:
        key = legible(data) if isinstance(code, CodeRefused) else code.key
        return await self._guarded(lambda person: self._take(text_of(data), code, _act(person, source)), code=key)

    async def _take(self, text: str, code: Code | CodeRefused, act: Act) -> Verdict:
        turned = turned_to(self.steps, self.step, text)
        if turned is not None:
            self._turn(turned)
            return turned
        if isinstance(code, CodeRefused):
            raise code
        match self.step:
            case Step.RECEIVE:
                return await self._take_received(code, act)
            case Step.PRESCAN:
                return await self.steps.prescan.scan(code, act)
            case Step.HAND_OUT | Step.LATE_SCAN:
                return await self._take_for_order(code, act)
            case Step.LOOK_UP:
                return self.steps.look_up.scan(code)
            case Step.SHEETS:
                return self.steps.sheets.scan(self.choice, self.picked, code)
            case _:
                verdict = await self.steps.tasks[self.step].scan(code, act, self.choice)
                self.picked = verdict.asks
                return verdict

    def _turn(self, turned: Verdict) -> None:
        """Go to the document that was scanned; to a sheet of paper whatever the seat was doing."""
        match turned.step:
            case Step.SHEETS:
                is_done = turned.result is Result.REPEAT
                self.choose(Step.SHEETS, choice=turned.document, pick="" if is_done else turned.asks)
            case Step.RECEIVE:
                self.note = turned.note
            case Step.RETURN:
                self.picked = turned.asks
            case _:
                self.choice = turned.document

    async def _take_received(self, code: Code, act: Act) -> Verdict:
        if not self.note:
            raise Refuse(StepReason.NO_NOTE_CHOSEN)
        return self._received(await self.steps.receive.scan(self.note, code, act))

    def _received(self, verdict: Verdict) -> Verdict:
        if verdict.result is Result.DONE:
            self.note = ""
        return verdict

    async def _take_for_order(self, code: Code, act: Act) -> Verdict:
        if not self.order:
            self.order = self.steps.handout.order_of(code)
        verdict = await self.steps.handout.scan(self.order, code, act)
        if verdict.result is Result.DONE:
            self.order = ""
        return verdict

    async def _guarded(
        self, act: Callable[[Person], Awaitable[Verdict]], *, code: str, order: str = "", note: str = ""
    ) -> Verdict:
        """Run one act after the other and turn every way of saying no into a verdict."""
        async with self._one_at_a_time:
            order, note = order or self.order, note or self.note
            try:
                if self.person is None:
                    raise Refuse(StepReason.NOBODY_SIGNED_IN)  # noqa: TRY301 -- one place makes the verdict
                verdict = await act(self.person)
                if verdict.order and verdict.order == self.order and verdict.result is Result.DONE:
                    self.order = ""
            except Refuse as refuse:
                verdict = self._refused(refuse, code)
            except CodeRefused as refused:
                verdict = self._refused(Refuse.by_grammar(refused), code)
            except Refused as refused:
                first = refused.refusals[0]
                verdict = self._refused(Refuse.by_lifecycle(first), first.code)
            except StoreError as error:
                verdict = self._refused(Refuse(StepReason.NOT_STORED, found=str(error)), code)
            if verdict.is_refused:
                verdict = msgspec.structs.replace(verdict, order=order, note=note)
            return self._show(verdict)

    def _refused(self, refuse: Refuse, code: str) -> Verdict:
        stock = self.steps.bench.stock
        item = stock.item(code) if code else None
        product = stock.product(item.product) if item is not None else None
        return Verdict(
            result=Result.REFUSED,
            step=self.step,
            code=code,
            reason=refuse.reason,
            found=refuse.found,
            expected=refuse.expected,
        ).about(item, product)

    def _show(self, verdict: Verdict) -> Verdict:
        self.done += verdict.result is Result.DONE
        self.steps.tally.add(verdict)
        kept = self._keep(verdict)
        self._undoing.note(kept)
        return kept

    def _keep(self, verdict: Verdict) -> Verdict:
        self._number += 1
        moment = self.steps.bench.recorder.moment()
        self.active_us = moment.mono_us
        verdict = msgspec.structs.replace(
            verdict,
            number=self._number,
            at_us=moment.wall_us,
            person=verdict.person or (self.person.name if self.person else ""),
        )
        self.verdicts.appendleft(verdict)
        self.steps.bench.notifier.publish(Change.VERDICTS)
        return verdict


def _read(parse: Callable[[], Code]) -> Code | CodeRefused:
    try:
        return parse()
    except CodeRefused as refused:
        return refused


def _act(person: Person, source: str, witness: str = "", emergency: str = "") -> Act:
    return Act(operator=person.id, witness=witness, source=source, emergency=emergency)
