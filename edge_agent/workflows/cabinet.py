"""A door session at an RFID cabinet: open, wait until the door is shut, read until nothing new is heard, record, show.

Whoever opened the door answers for what left: in each kind of session a piece that is gone is taken by that person.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog

from drivers.abilities import LockBoard, TagReader
from drivers.errors import DeviceGoneError, DeviceRefusedError
from drivers.readings import DoorState, TagRound
from edge_agent.errors import Refused, StoreError
from edge_agent.intake import Reading
from edge_agent.notify import Change
from edge_agent.recorder import Recorded
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.contents import Contents, expected_here, sort
from edge_agent.workflows.door import Grade, Outcome, Phase, Session, Settings, Task, Trouble
from edge_agent.workflows.verdicts import Refuse, StepReason
from sync_protocol.documents import DeliveryNote, NoteState, Person
from sync_protocol.facts import MAX_CODES, Certificate, Fact, How, What
from sync_protocol.items import Item, Kind

log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.cabinet")
RETRY_S = 1.0
DEEPER_READS = 2
Answer = TypeVar("Answer")


class Cabinet:
    """One door with its reader. ``run`` is a task of its own: a session goes on whatever becomes of the page."""

    def __init__(
        self, bench: Bench, *, reader: TagReader, lockboard: LockBoard, lock: int, settings: Settings | None = None
    ) -> None:
        self._bench = bench
        self._reader = reader
        self._lockboard = lockboard
        self._lock = lock
        self._settings = settings or Settings()
        self._requests: asyncio.Queue[None] = asyncio.Queue(1)
        self.session = Session()

    def notes(self) -> list[DeliveryNote]:
        """Notes of pieces that this cabinet still expects."""
        notes = self._bench.stock.notes(location=self._bench.location, state=NoteState.EXPECTED)
        return [note for note in notes if note.kind is Kind.PIECE and note.codes]

    def start(self, task: Task, person: Person, *, note: str = "") -> None:
        """Begin a session. Raises Refuse if one is under way or the note is not open here."""
        if self.session.is_busy or self._requests.full():
            raise Refuse(StepReason.CABINET_BUSY, found=self.session.person.name if self.session.person else "")
        chosen = next((open_note for open_note in self.notes() if open_note.id == note), None)
        if task is Task.RECEIVE and chosen is None:
            raise Refuse(StepReason.NOTE_GONE, found=note)
        self.session = Session(phase=Phase.OPENING, task=task, person=person, note=chosen)
        self._requests.put_nowait(None)
        self._bench.notifier.publish(Change.CABINET)

    def leave(self) -> None:
        """The person has seen the result."""
        if not self.session.is_busy:
            self.session = Session()
            self._bench.notifier.publish(Change.CABINET)

    async def run(self) -> None:
        """Serve one session after the other until cancelled."""
        while True:
            await self._requests.get()
            await self._serve()

    async def _serve(self) -> None:
        try:
            if self.session.task is not Task.COUNT:
                await self._lockboard.open(self._lock)
        except (DeviceRefusedError, DeviceGoneError) as error:
            trouble = Trouble.LOCK_JAMMED if isinstance(error, DeviceRefusedError) else Trouble.LOCK_GONE
            log.warning("door_not_opened", cause=str(error))
            self._show(phase=Phase.FAILED, trouble=trouble, cause=str(error))
            return
        self._show(phase=Phase.OPEN)
        await self._until_shut()
        expected = expected_here(self._bench.stock, self._bench.location)
        note_codes = self.session.note.codes if self.session.note else ()
        reading, grade = await self._read({*expected, *note_codes})
        self._show(phase=Phase.RECORDING)
        outcome = await self._record(reading, grade, expected)
        self._show(phase=Phase.RESULT, trouble=None, cause="", outcome=outcome)
        self._bench.notifier.publish(Change.STOCK, Change.NOTES)

    async def _until_shut(self) -> None:
        waited_s = 0.0
        while await self._insist(self._door, Trouble.LOCK_GONE) is DoorState.OPEN:
            await asyncio.sleep(self._settings.door_poll_s)
            waited_s += self._settings.door_poll_s
            if waited_s >= self._settings.ajar_s and self.session.trouble is None:
                self._show(trouble=Trouble.DOOR_AJAR)

    async def _door(self) -> DoorState:
        return (await self._lockboard.doors())[self._lock]

    async def _read(self, expected: set[str]) -> tuple[Reading, Grade]:
        """Read until nothing new is heard; deeper, before an expected piece counts as gone."""
        reading = Reading()
        limit = self._settings.max_rounds
        self._show(phase=Phase.READING, trouble=None, cause="", expected=len(expected), max_rounds=limit)
        is_quiet = await self._rounds(reading, limit)
        for _ in range(DEEPER_READS):
            if is_quiet and expected <= reading.heard.keys():
                break
            self._show(is_deeper=True, max_rounds=reading.rounds + limit)
            is_quiet = await self._rounds(reading, limit, is_deeper=True)
            if is_quiet:
                break
        return reading, Grade.CERTAIN if is_quiet else Grade.ASK

    async def _rounds(self, reading: Reading, limit: int, *, is_deeper: bool = False) -> bool:
        """Read up to ``limit`` rounds; whether the last ones brought nothing new. A deeper read goes on for longer."""
        quiet_rounds = self._settings.quiet_rounds * (2 if is_deeper else 1)
        reading.quiet_rounds = 0
        for _ in range(limit):
            tags = await self._insist(self._round, Trouble.READER_GONE)
            reading.add(tags)
            self._show(rounds=reading.rounds, tags=len(reading.heard))
            if reading.quiet_rounds >= quiet_rounds:
                return True
        return False

    async def _round(self) -> TagRound:
        return await self._reader.read_round(duration_s=self._settings.round_s)

    async def _insist(self, ask: Callable[[], Awaitable[Answer]], trouble: Trouble) -> Answer:
        """Ask a device until it answers: what left the cabinet must be found out, however long the device is gone."""
        while True:
            try:
                answer = await ask()
            except DeviceGoneError as error:
                self._show(trouble=trouble, cause=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            if self.session.trouble is trouble:
                self._show(trouble=None, cause="")
            return answer

    async def _record(self, reading: Reading, grade: Grade, expected: dict[str, Item]) -> Outcome:
        """What left and what came back first: of a note that is then lost to a power cut, nothing is in stock yet."""
        note, certificate = self.session.note, reading.certificate()
        contents = sort(
            reading.heard,
            stock=self._bench.stock,
            location=self._bench.location,
            note=note.id if note else "",
            expected=expected,
        )
        outcome = Outcome(contents=contents, certificate=certificate, grade=grade)
        physical = self._physical(contents, certificate)
        if physical:
            recorded = await self._until_stored(lambda: self._bench.recorder.observe(*physical))
            outcome = msgspec.structs.replace(outcome, refusals=recorded.refusals)
        return outcome if note is None else await self._receive(note, outcome)

    async def _receive(self, note: DeliveryNote, outcome: Outcome) -> Outcome:
        """The whole note or nothing of it."""
        arrived = {item.code for item in outcome.contents.arrived}
        not_arrived = tuple(code for code in note.codes if code not in arrived)
        if not_arrived:
            return msgspec.structs.replace(outcome, not_arrived=not_arrived)
        received = self._facts(What.RECEIVED, note.codes, outcome.certificate, document=note.id)
        try:
            await self._until_stored(lambda: self._bench.recorder.record(*received))
        except Refused as refused:
            return msgspec.structs.replace(outcome, refusals=outcome.refusals + refused.refusals)
        return msgspec.structs.replace(outcome, is_received=True)

    async def _until_stored(self, write: Callable[[], Awaitable[Recorded]]) -> Recorded:
        """Write what was read. A full disk is shown until it is not full any more: the reading is not given up."""
        while True:
            try:
                return await write()
            except StoreError as error:
                log.warning("not_stored", cause=str(error))
                self._show(trouble=Trouble.NOT_STORED, cause=str(error))
                await asyncio.sleep(RETRY_S)

    def _physical(self, contents: Contents, certificate: Certificate) -> list[Fact]:
        """What was seen to happen: it is recorded whether it fits or not."""
        if self.session.task is Task.COUNT:
            seen = (*contents.present, *contents.back, *contents.cancelled_back)
            return self._facts(What.COUNTED, tuple(item.code for item in seen), certificate)
        returned = (*contents.back, *contents.cancelled_back)
        return [
            *self._facts(What.TAKEN, tuple(item.code for item in contents.missing), certificate),
            *self._facts(What.PUT_BACK, tuple(item.code for item in returned), certificate),
        ]

    def _facts(self, what: What, codes: tuple[str, ...], certificate: Certificate, *, document: str = "") -> list[Fact]:
        assert self.session.person is not None, "start() seats a person"
        act = Act(operator=self.session.person.id, source=self._reader.name)
        return [
            self._bench.fact(
                what,
                codes[start : start + MAX_CODES],
                act,
                how=How.RFID,
                document=document,
                certificate=certificate,
            )
            for start in range(0, len(codes), MAX_CODES)
        ]

    def _show(self, **changes: object) -> None:
        self.session = msgspec.structs.replace(self.session, **changes)
        self._bench.notifier.publish(Change.CABINET)
