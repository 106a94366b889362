"""Packaging (分包): one pouch a unit, each pouch knows its sub-code; an order leaves when its last pouch is made.

A job is named after order, unit and attempt. After a restart the same names are submitted again and the machine, which
makes a pouch once for a name, repeats what became of it. A wasted or jammed pouch is made once more with the same unit;
after that, and for every other trouble, a person looks and says when to go on.
"""

import asyncio
from contextlib import suppress
from enum import StrEnum

import msgspec
import structlog

from drivers.abilities import Packager
from drivers.errors import DeviceGoneError, DeviceRefusedError
from drivers.readings import PackagerDose, PackagerJob, PouchOutcome, PouchResult
from edge_agent.errors import Refused, StoreError
from edge_agent.notify import Change, Subscription
from edge_agent.recorder import Recorded
from edge_agent.workflows.bench import Act, Bench
from edge_agent.workflows.orders import Need, Orders, Ticket
from edge_agent.workflows.verdicts import Refuse, StepReason
from sync_protocol.degraded import Allowance
from sync_protocol.facts import Fact, How, What
from sync_protocol.items import Item
from sync_protocol.lifecycle import Reason

log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.packaging")
ATTEMPTS_BY_ITSELF = 2
IN_THE_MACHINE = 16
RETRY_S = 1.0
RESUBMIT_S = 30.0
_WAKING = frozenset({Change.ORDERS, Change.STOCK, Change.EVERYTHING})
# Orders carry no hours yet: the pouches of an order go round the ward's usual rounds.
ROUNDS = ("0800", "1200", "1800", "2100")


class PouchState(StrEnum):
    WAITING = "waiting"
    IN_MACHINE = "in_machine"
    DONE = "done"
    STUCK = "stuck"


class Pouch(msgspec.Struct, frozen=True, kw_only=True):
    """One unit on its way into its pouch."""

    code: str
    state: PouchState = PouchState.WAITING
    attempt: int = 1
    number: str = ""
    """The machine's pouch number."""
    outcome: PouchOutcome | None = None
    """The last that the machine said of it; None with a cause: it could not be handed over."""
    cause: str = ""
    """In the words of the machine or its driver."""
    reason: str = ""
    """The lifecycle's reason, where the pouch was made with a unit that does not fit any more."""
    submitted_s: float = 0.0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One order in the machine."""

    ticket: Ticket
    pouches: tuple[Pouch, ...]
    cause: str = ""
    """Why the finished order could not be written off."""

    @property
    def made(self) -> int:
        return sum(pouch.state is PouchState.DONE for pouch in self.pouches)

    @property
    def stuck(self) -> tuple[Pouch, ...]:
        return tuple(pouch for pouch in self.pouches if pouch.state is PouchState.STUCK)


class Packaging:
    """The machine's orders. ``run`` is a task of its own."""

    def __init__(self, bench: Bench, orders: Orders, *, packager: Packager) -> None:
        self._bench = bench
        self._orders = orders
        self._packager = packager
        self._pouches: dict[tuple[str, str], Pouch] = {}
        self._held: dict[str, str] = {}
        self._not_granted: set[str] = set()
        """Orders that another machine may be making."""
        self.trouble = ""
        """Why the machine takes no jobs right now."""

    def batches(self) -> list[Batch]:
        """Orders for the machine in the order in which it gets them."""
        return [
            Batch(
                ticket=ticket,
                pouches=tuple(self._pouch(ticket, item) for item in ticket.locked),
                cause=self._held.get(ticket.order.id, "") or self._why_not(ticket),
            )
            for ticket in self._orders.queue()
            if ticket.need is Need.NOTHING
        ]

    def again(self, order: str, code: str = "") -> None:
        """A person has cleared the trouble: make the pouch anew, or write the order off anew. Raises Refuse."""
        ticket = self._orders.ticket(order)
        if not code:
            self._held.pop(order, None)
        else:
            pouch = next((self._pouch(ticket, item) for item in ticket.locked if item.code == code), None)
            if pouch is None or pouch.state is not PouchState.STUCK:
                raise Refuse(StepReason.POUCH_GONE, found=code)
            attempt = pouch.attempt + 1 if pouch.outcome is not None else pouch.attempt
            self._put(
                order, msgspec.structs.replace(pouch, state=PouchState.WAITING, attempt=attempt, cause="", reason="")
            )
        self._bench.notifier.publish(Change.ORDERS)

    async def run(self) -> None:
        """Feed the machine and take its results until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feed(), name="packaging feed")
            tasks.create_task(self._take_results(), name="packaging results")

    async def _feed(self) -> None:
        with self._bench.notifier.subscribe() as changes:
            while True:
                try:
                    await self._feed_once()
                except StoreError as error:
                    self._say(str(error))
                await _rest(changes)

    async def _feed_once(self) -> None:
        batches = self.batches()
        live = {batch.ticket.order.id for batch in batches}
        self._pouches = {key: pouch for key, pouch in self._pouches.items() if key[0] in live}
        now_s = asyncio.get_running_loop().time()
        for batch in batches:
            if not await self._is_granted(batch.ticket):
                continue
            if batch.made == len(batch.pouches):
                if batch.ticket.order.id not in self._held:
                    await self._write_off(batch.ticket)
                continue
            if self._too_old(batch.ticket):
                continue  # nobody stands at the machine who could confirm
            recalled = {item.code for item in batch.ticket.locked if self._bench.is_recalled(item)}
            for pouch in batch.pouches:
                if pouch.code in recalled:
                    continue  # no pouch is made of it; central gives the order another unit
                if self._is_due(pouch, now_s) and not await self._submit(batch.ticket, pouch):
                    return
        self._say("")

    def _too_old(self, ticket: Ticket) -> str:
        """X09: why no pouch is made for the order now; empty: it may be."""
        allowance = self._bench.allowance(ticket.product)
        return Reason.OLD_COPY if allowance in {Allowance.WITNESS, Allowance.BLOCK} else ""

    async def _is_granted(self, ticket: Ticket) -> bool:
        """A pouch that two machines make is two doses: only who holds the units begins (REQ-08)."""
        order = ticket.order.id
        before = order in self._not_granted
        self._not_granted.discard(order)
        if not await self._bench.recorder.rights.obtain([item.code for item in ticket.locked]):
            self._not_granted.add(order)
        if before != (order in self._not_granted):
            self._bench.notifier.publish(Change.PACKAGER)
        return order not in self._not_granted

    def _why_not(self, ticket: Ticket) -> str:
        return self._too_old(ticket) or (Reason.NOT_LEASED if ticket.order.id in self._not_granted else "")

    async def _submit(self, ticket: Ticket, pouch: Pouch) -> bool:
        """Hand one job over; False while the machine is not there."""
        order = ticket.order
        dose = PackagerDose(product=order.product, quantity=1, codes=(pouch.code,))
        place = [item.code for item in ticket.locked].index(pouch.code)
        job = PackagerJob(
            job=f"{order.id}|{pouch.code}|{pouch.attempt}",
            order=order.id,
            patient=order.patient,
            take_at=ROUNDS[place % len(ROUNDS)],
            doses=(dose,),
        )
        # The result may be here before the acknowledgement is.
        now_s = asyncio.get_running_loop().time()
        self._put(order.id, msgspec.structs.replace(pouch, state=PouchState.IN_MACHINE, submitted_s=now_s))
        try:
            await self._packager.submit(job)
        except DeviceGoneError as error:
            self._put(order.id, msgspec.structs.replace(pouch, state=PouchState.WAITING))
            self._say(str(error))
            return False
        except DeviceRefusedError as error:
            self._put(order.id, msgspec.structs.replace(pouch, state=PouchState.STUCK, outcome=None, cause=str(error)))
        return True

    async def _write_off(self, ticket: Ticket) -> None:
        """The last pouch is made: the order's units are dispensed."""
        codes = tuple(item.code for item in ticket.locked)
        order = ticket.order
        fact = self._bench.fact(
            What.DISPENSED, codes, self._act(), how=How.MACHINE, order=order.id, product=order.product
        )
        try:
            await self._bench.recorder.record(fact)
        except Refused as refused:
            self._held[order.id] = refused.refusals[0].reason
        self._bench.notifier.publish(Change.ORDERS, Change.PACKAGER)

    async def _take_results(self) -> None:
        # The machine hears that a result was taken over when the next one is asked for: then it is in the journal.
        async for result in self._packager.results():
            await self._take(result)

    async def _take(self, result: PouchResult) -> None:
        order, _, rest = result.job.partition("|")
        code, _, attempt = rest.rpartition("|")
        if not code or not attempt.isdecimal():
            log.warning("result_of_unknown_job", job=result.job, outcome=result.outcome)
            return
        told = Pouch(code=code, attempt=int(attempt), number=result.pouch, outcome=result.outcome, cause=result.message)
        known = self._pouches.get((order, code), told)
        if result.outcome is PouchOutcome.DONE:
            await self._made(order, told)
        elif told.attempt >= known.attempt:
            self._failed(order, told)
        self._bench.notifier.publish(Change.PACKAGER, Change.ORDERS)

    async def _made(self, order: str, pouch: Pouch) -> None:
        item = self._bench.stock.item(pouch.code)
        if item is not None and item.pouch == pouch.number:
            return  # the machine repeated itself
        fact = self._bench.fact(
            What.PACKED, (pouch.code,), self._act(), how=How.MACHINE, order=order, pouch=pouch.number
        )
        refusals = (await self._until_stored(fact)).refusals
        state = PouchState.STUCK if refusals else PouchState.DONE
        reason = refusals[0].reason if refusals else ""
        self._put(order, msgspec.structs.replace(pouch, state=state, reason=reason))

    async def _until_stored(self, fact: Fact) -> Recorded:
        """The pouch exists: it is written down however long the disk is full. The machine keeps further results."""
        while True:
            try:
                return await self._bench.recorder.observe(fact)
            except StoreError as error:
                self._say(str(error))
                await asyncio.sleep(RETRY_S)

    def _failed(self, order: str, pouch: Pouch) -> None:
        is_remade = pouch.outcome in {PouchOutcome.WASTED, PouchOutcome.JAMMED} and pouch.attempt < ATTEMPTS_BY_ITSELF
        log.warning("pouch_not_made", order=order, code=pouch.code, outcome=pouch.outcome, message=pouch.cause)
        if is_remade:
            self._put(order, msgspec.structs.replace(pouch, state=PouchState.WAITING, attempt=pouch.attempt + 1))
        else:
            self._put(order, msgspec.structs.replace(pouch, state=PouchState.STUCK))

    def _pouch(self, ticket: Ticket, item: Item) -> Pouch:
        known = self._pouches.get((ticket.order.id, item.code), Pouch(code=item.code))
        if item.pouch and known.state is not PouchState.STUCK:
            return msgspec.structs.replace(known, state=PouchState.DONE, number=item.pouch)
        return known

    def _is_due(self, pouch: Pouch, now_s: float) -> bool:
        """Whether the machine can take this job now, or may have lost it: submitting it again does no harm."""
        if pouch.state is PouchState.IN_MACHINE:
            return now_s - pouch.submitted_s > RESUBMIT_S
        in_machine = sum(known.state is PouchState.IN_MACHINE for known in self._pouches.values())
        return pouch.state is PouchState.WAITING and in_machine < IN_THE_MACHINE

    def _put(self, order: str, pouch: Pouch) -> None:
        self._pouches[order, pouch.code] = pouch
        self._bench.notifier.publish(Change.PACKAGER)

    def _act(self) -> Act:
        return Act(operator="", source=self._packager.name)

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._bench.notifier.publish(Change.PACKAGER)


async def _rest(changes: Subscription) -> None:
    """Until orders changed; or for a while, because the machine may be back without anything having changed here."""
    with suppress(TimeoutError):
        async with asyncio.timeout(RETRY_S):
            # What this loop itself publishes does not wake it.
            while not _WAKING.intersection(await changes.next()):
                pass
