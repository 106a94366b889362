import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.errors import DeviceGoneError, DeviceRefusedError
from drivers.readings import DeviceHealth, LinkState, PackagerJob, PouchOutcome, PouchResult
from edge_agent.workflows import packaging as packaging_module
from edge_agent.workflows.orders import Orders
from edge_agent.workflows.packaging import Packaging, PouchState
from edge_agent.workflows.verdicts import Refuse
from sync_protocol.documents import OrderState, Route
from sync_protocol.facts import How, What
from sync_protocol.items import Item, State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_work.ward import METOPROLOL, Ward, box_code, order, units


class Machine:
    """Makes one pouch a job name, repeats the result of a name it knows."""

    name = "packager-1"

    def __init__(self, *, fate: Callable[[PackagerJob, int], PouchOutcome] | None = None) -> None:
        self.made: dict[str, PouchResult] = {}
        self.jobs: list[PackagerJob] = []
        self.is_gone = False
        self.refuses = ""
        self._fate = fate or (lambda _job, _number: PouchOutcome.DONE)
        self._out: asyncio.Queue[PouchResult] = asyncio.Queue()

    @property
    def health(self) -> DeviceHealth:
        return DeviceHealth(name=self.name, driver="by-hand", state=LinkState.READY)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def submit(self, job: PackagerJob) -> None:
        if self.is_gone:
            raise DeviceGoneError("packager-1: not connected")
        if self.refuses:
            raise DeviceRefusedError(self.refuses)
        self.jobs.append(job)
        if job.job not in self.made:
            outcome = self._fate(job, len(self.made))
            pouch = f"P{len(self.made) + 1:04d}" if outcome is PouchOutcome.DONE else ""
            self.made[job.job] = PouchResult(
                source=self.name, job=job.job, outcome=outcome, pouch=pouch, message="滚筒卡住" if not pouch else ""
            )
        self._out.put_nowait(self.made[job.job])

    async def results(self) -> AsyncIterator[PouchResult]:
        while True:
            yield await self._out.get()

    def repeat(self) -> None:
        for result in self.made.values():
            self._out.put_nowait(result)


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaging_module, "RETRY_S", 0.02)


def packaging_of(ward: Ward, machine: Machine) -> Packaging:
    return Packaging(ward.bench, Orders(ward.bench, route=Route.PACKAGER), packager=machine)


@asynccontextmanager
async def running(packaging: Packaging) -> AsyncIterator[Packaging]:
    task = asyncio.create_task(packaging.run(), name="packaging")
    try:
        yield packaging
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(ward: Ward, is_true: Callable[[], bool]) -> None:
    with ward.notifier.subscribe() as changes:
        async with asyncio.timeout(5):
            while not is_true():
                await changes.next()


async def ordered(ward: Ward, quantity: int = 3) -> None:
    await ward.load(
        items=tuple(units(METOPROLOL, 1, locked=quantity, order="RX00001")),
        orders=(order(1, METOPROLOL, quantity, OrderState.LOCKED),),
    )


def is_given(ward: Ward) -> bool:
    return any(fact.what is What.DISPENSED for fact in ward.facts())


async def test_each_unit_gets_its_pouch_and_the_last_pouch_writes_the_order_off(ward: Ward) -> None:
    await ordered(ward)
    machine = Machine()
    async with running(packaging_of(ward, machine)):
        await until(ward, lambda: is_given(ward))
    *packed, given = ward.facts()
    assert [(fact.what, fact.pouch, fact.how) for fact in packed] == [
        (What.PACKED, f"P{number:04d}", How.MACHINE) for number in (1, 2, 3)
    ]
    assert (given.order, len(given.codes), given.how, given.source) == ("RX00001", 3, How.MACHINE, "packager-1")
    unit = ward.stock.item(box_code(METOPROLOL, 1) + "#002")
    assert unit is not None
    assert (unit.state, unit.pouch) == (State.DISPENSED, "P0002")
    assert machine.jobs[0].doses[0].codes == (box_code(METOPROLOL, 1) + "#001",)


async def test_a_wasted_pouch_is_made_once_more_with_the_same_unit(ward: Ward) -> None:
    await ordered(ward, 2)
    machine = Machine(fate=lambda _job, number: PouchOutcome.WASTED if number == 0 else PouchOutcome.DONE)
    async with running(packaging_of(ward, machine)):
        await until(ward, lambda: is_given(ward))
    attempts = [job.doses[0].codes[0] for job in machine.jobs]
    assert attempts.count(box_code(METOPROLOL, 1) + "#001") == 2
    assert len({fact.codes for fact in ward.facts() if fact.what is What.PACKED}) == 2


async def test_a_pouch_that_fails_twice_waits_for_a_person_and_goes_on_when_told(ward: Ward) -> None:
    await ordered(ward, 1)
    machine = Machine(fate=lambda _job, number: PouchOutcome.JAMMED if number < 2 else PouchOutcome.DONE)
    async with running(packaging_of(ward, machine)) as packaging:
        await until(ward, lambda: bool(packaging.batches()[0].stuck))
        (stuck,) = packaging.batches()[0].stuck
        assert (stuck.outcome, stuck.attempt, stuck.cause) == (PouchOutcome.JAMMED, 2, "滚筒卡住")
        await asyncio.sleep(0.1)
        assert len(machine.made) == 2
        packaging.again("RX00001", stuck.code)
        await until(ward, lambda: is_given(ward))


@pytest.mark.parametrize("outcome", [PouchOutcome.EMPTY_CANISTER, PouchOutcome.UNKNOWN_PRODUCT])
async def test_what_only_a_person_can_mend_is_not_tried_again(ward: Ward, outcome: PouchOutcome) -> None:
    await ordered(ward, 1)
    machine = Machine(fate=lambda _job, _number: outcome)
    async with running(packaging_of(ward, machine)) as packaging:
        await until(ward, lambda: bool(packaging.batches()[0].stuck))
    assert [job.job.rpartition("|")[2] for job in machine.jobs] == ["1"]
    with pytest.raises(Refuse):
        packaging.again("RX00001", "no such unit")


async def test_after_a_restart_the_same_names_are_submitted_and_nothing_is_made_twice(ward: Ward) -> None:
    await ordered(ward, 3)
    fates = [PouchOutcome.WASTED, PouchOutcome.DONE, PouchOutcome.DONE, PouchOutcome.JAMMED]
    machine = Machine(fate=lambda _job, number: fates[number] if number < 4 else PouchOutcome.DONE)
    async with running(packaging_of(ward, machine)) as packaging:
        await until(ward, lambda: bool(packaging.batches()[0].stuck))
    made = len(machine.made)
    machine.repeat()
    async with running(packaging_of(ward, machine)) as packaging:
        await until(ward, lambda: bool(packaging.batches()[0].stuck))
        await asyncio.sleep(0.05)
        assert len(machine.made) == made
        packaging.again("RX00001", packaging.batches()[0].stuck[0].code)
        await until(ward, lambda: is_given(ward))
    assert len([fact for fact in ward.facts() if fact.what is What.PACKED]) == 3


async def test_a_machine_that_is_gone_is_said_so_and_fed_when_it_is_back(ward: Ward) -> None:
    await ordered(ward, 1)
    machine = Machine()
    machine.is_gone = True
    async with running(packaging_of(ward, machine)) as packaging:
        await until(ward, lambda: packaging.trouble != "")
        assert packaging.batches()[0].pouches[0].state is PouchState.WAITING
        machine.is_gone = False
        await until(ward, lambda: is_given(ward))
        await until(ward, lambda: packaging.trouble == "")


async def test_a_job_that_the_machine_refuses_is_shown_with_its_cause(ward: Ward) -> None:
    await ordered(ward, 1)
    machine = Machine()
    machine.refuses = "packager-1: job refused: unknown canister"
    async with running(packaging_of(ward, machine)) as packaging:
        await until(ward, lambda: bool(packaging.batches()[0].stuck))
        assert packaging.batches()[0].stuck[0].cause == machine.refuses


async def test_a_pouch_with_a_recalled_unit_is_kept_as_a_fact_and_shown(ward: Ward) -> None:
    await ordered(ward, 1)
    items: list[Item] = units(METOPROLOL, 1, locked=1, order="RX00001")
    machine = Machine()
    packaging = packaging_of(ward, machine)
    await packaging._feed_once()
    items[1] = Item(
        code=items[1].code,
        kind=items[1].kind,
        product=items[1].product,
        lot=items[1].lot,
        expiry=items[1].expiry,
        state=State.FROZEN,
        location=items[1].location,
        order="RX00001",
        before=State.LOCKED,
    )
    await ward.load(items=tuple(items))
    await packaging._take(next(iter(machine.made.values())))
    assert [fact.what for fact in ward.facts()] == [What.PACKED]
    assert packaging._pouches["RX00001", items[1].code].reason == Reason.FROZEN


async def test_units_that_another_machine_may_be_packing_are_not_packed(tmp_path: Path) -> None:
    ward = Ward(tmp_path, device="packager-1")
    locked = units(METOPROLOL, 1, locked=2, order="RX00001")
    await ward.load(**ward.catalogue(), items=tuple(locked), orders=(order(1, METOPROLOL, 2, OrderState.LOCKED),))
    ward.hand.take_away()
    machine = Machine()
    packaging = Packaging(ward.bench, Orders(ward.bench, route=Route.PACKAGER), packager=machine)
    await packaging._feed_once()
    assert machine.jobs == []
    assert packaging.batches()[0].cause == Reason.NOT_LEASED
    ward.hand.grant(item.code for item in locked)
    await packaging._feed_once()
    assert len(machine.jobs) == 2
    assert packaging.batches()[0].cause == ""
    ward.close()
