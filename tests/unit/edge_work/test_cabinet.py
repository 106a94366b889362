import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.errors import DeviceGoneError, DeviceRefusedError
from drivers.readings import DeviceHealth, DoorState, LinkState, TagRead, TagRound
from edge_agent.errors import StoreError
from edge_agent.workflows import cabinet as cabinet_module
from edge_agent.workflows.cabinet import Cabinet
from edge_agent.workflows.contents import StrayKind
from edge_agent.workflows.door import Grade, Phase, Settings, Task, Trouble
from edge_agent.workflows.verdicts import Refuse, StepReason
from sync_protocol.documents import Person
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import Item, Kind, State
from tests.unit.edge_work.ward import CABINET, LI, WANG, Ward, note, piece, piece_code


class Hardware:
    """Reader and lock board of one cabinet, by hand: what lies in it, what a round misses, what is broken."""

    name = "reader-1"

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.missed: dict[int, Sequence[str]] = {}
        """Tags that the reader does not hear in a round."""
        self.rounds = 0
        self.opened = 0
        self.polls_open = 2
        self.gone = 0
        self.is_jammed = False

    @property
    def health(self) -> DeviceHealth:
        return DeviceHealth(name=self.name, driver="by-hand", state=LinkState.READY)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def read_round(self, *, duration_s: float, power_dbm: float | None = None) -> TagRound:
        await asyncio.sleep(0)
        if self.gone:
            self.gone -= 1
            raise DeviceGoneError("reader-1: the line was cut")
        self.rounds += 1
        heard = [epc for epc in self.inside if epc not in self.missed.get(self.rounds, ())]
        tags = tuple(TagRead(epc=epc, antenna=1, rssi_dbm=-50, hits=3) for epc in heard)
        return TagRound(source=self.name, tags=tags, duration_s=duration_s, power_dbm=power_dbm)

    async def open(self, lock: int) -> None:
        assert lock == 1
        if self.is_jammed:
            raise DeviceRefusedError("lock-1: lock 1 stayed shut")
        self.opened += 1

    async def doors(self) -> Mapping[int, DoorState]:
        self.polls_open -= 1
        return {1: DoorState.OPEN if self.polls_open >= 0 else DoorState.CLOSED}


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    ward = Ward(tmp_path, location=CABINET, device="cabinet-1")
    await ward.load(**Ward.catalogue())
    yield ward
    ward.close()


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cabinet_module, "RETRY_S", 0.01)


def cabinet_of(ward: Ward, hardware: Hardware) -> Cabinet:
    settings = Settings(round_s=0.01, door_poll_s=0.01, ajar_s=0.05)
    return Cabinet(ward.bench, reader=hardware, lockboard=hardware, lock=1, settings=settings)


@asynccontextmanager
async def running(cabinet: Cabinet) -> AsyncIterator[Cabinet]:
    task = asyncio.create_task(cabinet.run(), name="cabinet")
    try:
        yield cabinet
    finally:
        task.cancel()


async def until(cabinet: Cabinet, *phases: Phase) -> None:
    with cabinet._bench.notifier.subscribe() as changes:
        async with asyncio.timeout(5):
            while cabinet.session.phase not in phases:
                await changes.next()


async def session(cabinet: Cabinet, task: Task, person: Person = WANG, note_id: str = "") -> None:
    cabinet.start(task, person, note=note_id)
    await until(cabinet, Phase.RESULT, Phase.FAILED)


def codes(facts: list[Fact], what: What) -> set[str]:
    return {code for fact in facts if fact.what is what for code in fact.codes}


async def stocked(ward: Ward, *items: Item) -> Hardware:
    await ward.load(items=items)
    hardware = Hardware()
    hardware.inside = [item.code for item in items]
    return hardware


async def test_what_left_is_taken_by_whoever_opened(ward: Ward) -> None:
    hardware = await stocked(ward, piece(1), piece(2), piece(3))
    hardware.inside.remove(piece_code(2))
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.TAKE)
    outcome = cabinet.session.outcome
    assert outcome is not None
    assert ([item.code for item in outcome.contents.missing], outcome.grade) == ([piece_code(2)], Grade.CERTAIN)
    (fact,) = ward.facts()
    assert (fact.what, fact.operator, fact.how, fact.source) == (What.TAKEN, "P001", How.RFID, "reader-1")
    assert fact.certificate is not None
    assert fact.certificate.quiet_rounds >= 2
    item = ward.stock.item(piece_code(2))
    assert item is not None
    assert (item.state, item.holder) == (State.TAKEN, "P001")


async def test_unused_and_cancelled_pieces_come_back_and_are_told_apart(ward: Ward) -> None:
    hardware = await stocked(ward, piece(1, State.TAKEN, holder="P001"), piece(2, State.AWAITING_PUT_BACK), piece(3))
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.TAKE, LI)
    outcome = cabinet.session.outcome
    assert outcome is not None
    assert [item.code for item in outcome.contents.back] == [piece_code(1)]
    assert [item.code for item in outcome.contents.cancelled_back] == [piece_code(2)]
    assert codes(ward.facts(), What.PUT_BACK) == {piece_code(1), piece_code(2)}
    assert codes(ward.facts(), What.TAKEN) == set()


async def test_strays_are_shown_with_their_home_and_move_nothing(ward: Ward) -> None:
    hardware = await stocked(
        ward,
        piece(1),
        piece(2, location="cath-lab-cabinet-2"),
        piece(3, State.EXPECTED, document="DN-P9"),
        piece(4, State.DISPENSED, order="RX00009"),
        piece(5, State.ABNORMAL),
    )
    hardware.inside += ["E2801160600002040000002A", piece_code(99)]
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.TAKE)
    outcome = cabinet.session.outcome
    assert outcome is not None
    assert {(stray.kind, stray.home) for stray in outcome.contents.strays} == {
        (StrayKind.ELSEWHERE, "cath-lab-cabinet-2"),
        (StrayKind.NOT_RECEIVED, "DN-P9"),
        (StrayKind.USED, "RX00009"),
        (StrayKind.BLOCKED, CABINET),
        (StrayKind.FOREIGN, ""),
        (StrayKind.UNKNOWN, ""),
    }
    assert ward.facts() == []


async def test_a_tag_missed_at_first_is_found_by_the_deeper_read_and_not_taken(ward: Ward) -> None:
    hardware = await stocked(ward, piece(1), piece(2))
    hardware.missed = {number: [piece_code(2)] for number in range(1, 6)}
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.TAKE)
    assert cabinet.session.is_deeper
    assert ward.facts() == []


async def test_a_reading_that_never_settles_is_recorded_and_marked_for_a_person(ward: Ward) -> None:
    hardware = await stocked(ward, piece(1))
    everything = [piece_code(number) for number in range(100, 200)]
    hardware.inside = everything
    hardware.missed = {number: everything[number:] for number in range(1, 100)}
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.TAKE)
    outcome = cabinet.session.outcome
    assert outcome is not None
    assert outcome.grade is Grade.ASK
    assert codes(ward.facts(), What.TAKEN) == {piece_code(1)}


async def expecting(ward: Ward) -> Hardware:
    items = [piece(serial, State.EXPECTED) for serial in (1, 2, 3)]
    await ward.load(items=(*items, piece(8)), notes=(note("DN-P1", items, kind=Kind.PIECE, location=CABINET),))
    hardware = Hardware()
    hardware.inside = [piece_code(8), *(item.code for item in items)]
    return hardware


async def test_a_whole_note_is_received_in_one_fact(ward: Ward) -> None:
    hardware = await expecting(ward)
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.RECEIVE, note_id="DN-P1")
    outcome = cabinet.session.outcome
    assert outcome is not None
    assert (outcome.is_received, outcome.moved, outcome.not_arrived) == (True, 3, ())
    (fact,) = ward.facts()
    assert (fact.what, fact.document, len(fact.codes)) == (What.RECEIVED, "DN-P1", 3)
    assert cabinet.notes() == []


async def test_a_missing_piece_refuses_the_whole_note_but_not_what_left_meanwhile(ward: Ward) -> None:
    hardware = await expecting(ward)
    hardware.inside = [piece_code(1), piece_code(2)]
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.RECEIVE, note_id="DN-P1")
    outcome = cabinet.session.outcome
    assert outcome is not None
    assert (outcome.is_received, outcome.not_arrived) == (False, (piece_code(3),))
    assert codes(ward.facts(), What.TAKEN) == {piece_code(8)}
    assert codes(ward.facts(), What.RECEIVED) == set()
    assert [note.id for note in cabinet.notes()] == ["DN-P1"]


async def test_a_count_opens_no_door_and_moves_nothing(ward: Ward) -> None:
    hardware = await stocked(ward, piece(1), piece(2), piece(3, State.TAKEN, holder="P002"))
    hardware.inside.remove(piece_code(2))
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.COUNT)
    assert hardware.opened == 0
    (fact,) = ward.facts()
    assert (fact.what, set(fact.codes)) == (What.COUNTED, {piece_code(1), piece_code(3)})
    outcome = cabinet.session.outcome
    assert outcome is not None
    assert [item.code for item in outcome.contents.missing] == [piece_code(2)]


async def test_a_jammed_lock_fails_the_session_and_records_nothing(ward: Ward) -> None:
    hardware = await stocked(ward, piece(1))
    hardware.is_jammed = True
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.TAKE)
        assert (cabinet.session.phase, cabinet.session.trouble) == (Phase.FAILED, Trouble.LOCK_JAMMED)
        hardware.is_jammed = False
        await session(cabinet, Task.TAKE)
        assert cabinet.session.phase is Phase.RESULT
    assert ward.facts() == []


async def test_a_reader_that_is_gone_is_shown_and_the_session_goes_on_when_it_is_back(ward: Ward) -> None:
    hardware = await stocked(ward, piece(1), piece(2))
    hardware.inside.remove(piece_code(2))
    hardware.gone = 3
    troubles = set()
    cabinet = cabinet_of(ward, hardware)
    async with running(cabinet):
        cabinet.start(Task.TAKE, WANG)
        async with asyncio.timeout(5):
            while cabinet.session.phase is not Phase.RESULT:
                troubles.add(cabinet.session.trouble)
                await asyncio.sleep(0.002)
    assert Trouble.READER_GONE in troubles
    assert cabinet.session.trouble is None
    assert codes(ward.facts(), What.TAKEN) == {piece_code(2)}


async def test_a_door_left_open_is_said_so_and_waited_for(ward: Ward) -> None:
    hardware = await stocked(ward, piece(1))
    hardware.polls_open = 12
    troubles = set()
    cabinet = cabinet_of(ward, hardware)
    async with running(cabinet):
        cabinet.start(Task.TAKE, WANG)
        async with asyncio.timeout(5):
            while cabinet.session.phase is not Phase.RESULT:
                troubles.add(cabinet.session.trouble)
                await asyncio.sleep(0.002)
    assert Trouble.DOOR_AJAR in troubles


async def test_a_full_disk_is_shown_and_the_reading_is_not_given_up(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware = await stocked(ward, piece(1), piece(2))
    hardware.inside.remove(piece_code(2))
    failures, commit = [1, 2], ward.journal.commit

    def fail_twice(*arguments: object) -> object:
        if failures:
            failures.pop()
            raise StoreError("journal.db: the disk is full")
        return commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ward.journal, "commit", fail_twice)
    async with running(cabinet_of(ward, hardware)) as cabinet:
        await session(cabinet, Task.TAKE)
    assert codes(ward.facts(), What.TAKEN) == {piece_code(2)}


async def test_one_session_at_a_time(ward: Ward) -> None:
    hardware = await stocked(ward, piece(1))
    cabinet = cabinet_of(ward, hardware)
    cabinet.start(Task.TAKE, WANG)
    with pytest.raises(Refuse) as refused:
        cabinet.start(Task.COUNT, LI)
    assert (refused.value.reason, refused.value.found) == (StepReason.CABINET_BUSY, WANG.name)
    cabinet.leave()
    assert cabinet.session.phase is Phase.OPENING


async def test_an_unknown_note_is_refused_before_the_door_opens(ward: Ward) -> None:
    cabinet = cabinet_of(ward, await stocked(ward))
    with pytest.raises(Refuse):
        cabinet.start(Task.RECEIVE, WANG, note="DN-404")
    assert cabinet.session.phase is Phase.IDLE
