"""Carries out what the grants machine decides: leases are written down before anybody hears of them (REQ-08)."""

import asyncio
import contextlib
import sqlite3
from collections import defaultdict

import msgspec
import structlog

from central.errors import BusyError
from central.ledger import lease_rows, statements
from central.ledger.session_rows import read_through
from central.ledger.staging import in_chunks
from central.ledger.transaction import Holding, Transaction
from central.ledger.write import DEVICE, Committed, Ledger
from central.stock.fulfilment import allocate_waiting
from central.stock.services import Deciding
from central.sync.agents import Agents
from central.sync.early import Early
from central.sync.lease_stock import LeaseStock, Place
from central.sync.publish import Publisher
from central.sync.relief import Relief
from sync_protocol.items import Kind
from sync_protocol.leases import LEASABLE, NOTHING, OUT, spent
from sync_protocol.machines import grants_events as on
from sync_protocol.machines.grants import Grants
from sync_protocol.messages import Ask, AskHolds, Fence, Grant, Holds, Position, Release, Withheld

TICK_S = 0.5
GATHER_S, REST = 0.01, 4
"""Rest after a turn: so long, or so many times as long as it took, if that is less. Who is alone waits for no clock."""
PLACES_AT_ONCE = 16
AGAIN_US = 1_500_000
"""How long what was asked back may be on its way."""
_log = structlog.get_logger("central.leases")


class Leases:
    def __init__(
        self, ledger: Ledger, publisher: Publisher, agents: Agents, early: Early, *, term_s: float, margin_s: float
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._agents = agents
        self._early = early
        self._term_us, self._margin_us = int(term_s * 1_000_000), int(margin_s * 1_000_000)
        self._is_ahead = False
        """What a commit does to leases is decided, and the commit is not done yet."""
        self._doubted: list[str] = []
        self._dirty: dict[Place, None] = {}
        self._is_freed = False
        """Every order that waits may get something now; or else those for ``_freed``."""
        self._freed: set[Place] = set()
        self._wanted: set[str] = set()
        self._asked_back: set[str] = set()
        self._reached: frozenset[str] = frozenset()
        self._again: dict[Place | None, int] = {}
        self._wake = asyncio.Event()
        self._stock, self._relief = LeaseStock(ledger), Relief(ledger)
        self.grants = self._load()
        ledger.held_by = self.held_by
        ledger.follow(self._follow)
        ledger.listen(self._committed)

    def stated(self, device: str, holds: Holds) -> None:
        """An agent said what it holds. Raises BusyError."""
        self._settle()
        if self._agents.session(device) != holds.session:
            return  # of a process that is no more
        before = self.grants.leases.get(device)
        is_new = before is None or before.session != holds.session or before.standing is not on.Standing.LIVE
        holds = msgspec.structs.replace(holds, heads=(*holds.heads, *self._waiting_beside(device)))
        codes = holds.codes if self.grants.takes_over(holds) else ()
        event = on.Stated(
            device=device,
            holds=holds,
            products=lease_rows.leasable(self._ledger.connection, codes, holds.location),
            committed=read_through(self._ledger.connection, [head.session for head in holds.heads]),
            now_us=self._ledger.time.steady_us(),
        )
        self._do(event)
        if is_new:
            self._offer_all({holds.location})

    def _waiting_beside(self, device: str) -> list[Position]:
        """Facts of the device that are here and not in the ledger: older ones must come first."""
        return [
            Position(session=session, through=state.through)
            for session, state in self._early.held.items()
            if state.start.device == device
        ]

    def asked(self, device: str, ask: Ask) -> None:
        """An agent wants to issue codes. Raises BusyError."""
        self._settle()
        lease = self.grants.leases.get(device)
        products = lease_rows.leasable(self._ledger.connection, ask.codes, lease.location) if lease else {}
        self._do(on.Asked(device=device, ask=ask, products=products, now_us=self._ledger.time.steady_us()))

    def held_by(self, code: str) -> Holding:
        """Central locks nothing that an agent may be issuing at this moment: it is asked back first."""
        self._refresh()
        lease = self.grants.leases.get(self.grants.holder(code))
        if lease is None:
            return Holding.FREE
        is_there = lease.standing is on.Standing.LIVE and code not in lease.missing
        return Holding.RECALLABLE if is_there and self._agents.is_connected(lease.device) else Holding.AWAY

    def end(self, device: str, found: tuple[str, ...]) -> None:
        """Two people counted; who calls has made a fact of it. Raises BusyError."""
        self._do(on.Overridden(device=device, found=found, now_us=self._ledger.time.steady_us()))

    @property
    def deciding(self) -> Deciding:
        if self._wanted or self._is_freed or self._freed or any(map(self.grants.holder, self._asked_back)):
            return Deciding.ORDERS
        return Deciding.SHARES if self._dirty else Deciding.NOTHING

    async def run(self) -> None:
        """Renew, doubt and share, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            self._wake.clear()
            began_us = self._ledger.time.steady_us()
            with contextlib.suppress(BusyError):  # the ledger says so itself; the next turn does it
                self.turn()
            if self._dirty:
                self._wake.set()
            await asyncio.sleep(min(GATHER_S, REST * (self._ledger.time.steady_us() - began_us) / 1e6))

    def turn(self) -> None:
        """Raises BusyError."""
        self._settle()
        now_us, connected = self._ledger.time.steady_us(), self._agents.connected()
        was_frozen = self.grants.is_frozen
        self._do(on.Tick(now_us=now_us, connected=connected))
        self._follow_facts()
        self._take_up(now_us)
        self._is_freed |= connected != self._reached
        self._reached = connected
        if was_frozen and not self.grants.is_frozen:
            self._offer_all({lease.location for lease in self.grants.leases.values()})
        if (self._is_freed or self._freed) and not self._ledger.is_refilling:
            places = None if self._is_freed else self._freed
            self._is_freed, self._freed = False, set()
            self._ledger.commit(lambda transaction: self._allocate(transaction, places))
        wanted, self._wanted = self._wanted, set()
        if wanted:
            self._asked_back = wanted
            self._look_again(now_us, None)
        if codes := (*sorted(wanted), *self._relief.spare(self.grants.leases.values(), now_us)):
            self._do(on.Needed(codes=codes, now_us=now_us))
        self._share(connected, now_us)

    def _look_again(self, now_us: int, place: Place | None) -> None:
        """Somebody is asked to give something back: the question or the answer may be lost. None: for orders."""
        self._again.setdefault(place, now_us + AGAIN_US)

    def _take_up(self, now_us: int) -> None:
        for place in [place for place, due_us in self._again.items() if now_us >= due_us]:
            del self._again[place]
            if place is None:
                self._asked_back.clear()
                self._is_freed = True
            else:
                self._dirty[place] = None

    def _allocate(self, transaction: Transaction, places: set[Place] | None) -> None:
        """Orders first: what they need is not offered to agents again."""
        allocate_waiting(transaction, places)
        self._wanted |= transaction.wanted

    def _follow(self, transaction: Transaction) -> None:
        """Consequence: what facts do to leases, and what a journal that was set back does, is written with them."""
        self._refresh()
        held = self.grants.holders.keys()
        for folded in transaction.folded:
            refused = folded.outcome.refusals
            if not refused and held.isdisjoint(folded.fact.codes):
                continue  # nobody holds any of it
            device = folded.device
            what = spent(folded.fact) if device != DEVICE else NOTHING
            codes = (*what.ended, *(box for box, _ in what.opened))
            # What is out may come in again while old facts come in, by one that was written before.
            unfit = frozenset(one.code for one in refused if one.state not in OUT or self.grants.is_frozen)
            if not unfit and held.isdisjoint(codes):
                continue
            self._is_ahead = True
            self._dirty.update({place: None for code in codes if (place := self._place(device, code)) is not None})
            lease, facts = self.grants.leases.get(device), folded.facts
            is_told = lease is not None and facts.first_seq + folded.index <= lease.heads.get(facts.start.session, 0)
            self.grants.handle(
                on.Spent(device=device, ended=what.ended, opened=what.opened, unfit=unfit, is_told=is_told)
            )
        for device in transaction.doubted:
            self._is_ahead = True
            self.grants.handle(on.Fenced(device=device))
        if self._is_ahead:
            lease_rows.write_leases(transaction.execute, *self._take_changes())

    def _committed(self, committed: Committed) -> None:
        """After every commit: remember what follows from it, and do it soon."""
        self._is_ahead = False
        for item in committed.rows.items:
            if item.kind is not Kind.PIECE and item.state in LEASABLE:
                self._dirty[item.product, item.location] = None
        self._doubted += committed.doubted
        self._wanted |= committed.wanted
        if self._dirty or self._doubted or self._wanted:
            self._wake.set()

    def _refresh(self) -> None:
        """What is in the ledger is what counts: after a commit that was not done, and in a new life."""
        if self._is_ahead or self.grants.incarnation != self._ledger.incarnation:
            self._is_ahead = False
            self.grants = self._load()

    def _settle(self) -> None:
        """Who is fenced hears it before anything else is decided."""
        self._refresh()
        fences, self._doubted = self._doubted, []
        for device in dict.fromkeys(fences):
            _log.warning("lease fenced", device=device)
            self._do(on.Fenced(device=device))

    def _place(self, device: str, code: str) -> Place | None:
        lease = self.grants.leases.get(device)
        product = lease.products.get(code) if lease else None
        return (product, lease.location) if lease and product else None

    def _follow_facts(self) -> None:
        """Leases that wait for facts of their holder."""
        for lease in list(self.grants.leases.values()):
            if lease.heads or lease.given_up:
                through = read_through(self._ledger.connection, lease.heads)
                self._do(on.Committed(device=lease.device, through=through))

    def _offer_all(self, locations: set[str]) -> None:
        for location in sorted(locations):
            for product, place in self._ledger.connection.execute(statements.PLACES_IN_STOCK, (location,)):
                self._dirty[product, place] = None
        self._is_freed = True
        self._wake.set()

    def _share(self, connected: frozenset[str], now_us: int) -> None:
        """Decide on some of the places, and write it down at once. Raises BusyError."""
        places = list(self._dirty)[:PLACES_AT_ONCE]
        decided: list[on.Effect] = []
        for place in places:
            offer = self._offer(place, connected)
            if offer is None:
                continue
            effects = self.grants.handle(on.Offered(offer=offer, connected=connected, now_us=now_us))
            if any(isinstance(effect, on.SendRelease) for effect in effects):
                self._look_again(now_us, place)
            decided += effects
        self._finish(decided)
        for place in places:
            del self._dirty[place]

    def _offer(self, place: Place, connected: frozenset[str]) -> on.Offer | None:
        """What is there for agents; None: nobody can get any of it."""
        product, location = place
        route = self._stock.route(product)
        serving = self.grants.serving(location, route, connected)
        if not serving:
            return None
        takes_free = self.grants.takes_free(serving, product)
        orders: dict[str, list[str]] = defaultdict(list)
        for one in self._stock.locked(place):
            if one.order or not self.grants.holder(one.code):
                orders[one.order].append(one.code)
        ordered = tuple(tuple(codes) for codes in orders.values())
        if not takes_free and all(self.grants.holder(code) for codes in ordered for code in codes):
            return None
        free = self._stock.free(place) if takes_free else ()
        return on.Offer(location=location, route=route, product=product, free=free, ordered=ordered)

    def _do(self, event: on.Event) -> None:
        self._finish(self.grants.handle(event))

    def _finish(self, effects: list[on.Effect]) -> None:
        """Nobody hears of what is not written down. Raises BusyError."""
        self._write()
        for effect in effects:
            self._carry_out(effect)

    def _write(self) -> None:
        if not self.grants.changed_devices and not self.grants.changed_codes:
            return
        leases, codes = self._take_changes()
        is_thawed = not self.grants.is_frozen

        def work(connection: sqlite3.Connection) -> None:
            lease_rows.write_leases(connection.executemany, leases, codes)
            if is_thawed:
                connection.execute(statements.DELETE_META, (lease_rows.SINCE,))

        try:
            self._ledger.write(work)
        except BusyError:
            self.grants = self._load()  # what is in the ledger is what counts
            raise

    def _take_changes(self) -> tuple[dict[str, on.Lease | None], dict[str, on.Lease | None]]:
        """Leases by device and holders by code, of those that are to be written down."""
        grants = self.grants
        leases = {device: grants.leases.get(device) for device in sorted(grants.changed_devices)}
        codes = {code: grants.leases.get(grants.holder(code)) for code in sorted(grants.changed_codes)}
        grants.changed_devices.clear()
        grants.changed_codes.clear()
        return leases, codes

    def _carry_out(self, effect: on.Effect) -> None:
        tell = self._publisher.tell
        match effect:
            case on.SendGrant():
                fields = msgspec.structs.asdict(effect)
                tell(fields.pop("device"), Grant(incarnation=self.grants.incarnation, **fields))
            case on.SendRelease():
                tell(effect.device, Release(codes=effect.codes))
            case on.SendWithheld():
                tell(effect.device, Withheld(by=effect.by))
            case on.SendAskHolds():
                tell(effect.device, AskHolds())
            case on.SendFence():
                tell(effect.device, Fence())
            case on.Doubted():
                _log.warning("lease in doubt", device=effect.device, codes=effect.codes)
            case on.Freed():
                self._free(effect.codes)

    def _free(self, codes: tuple[str, ...]) -> None:
        self._asked_back.difference_update(codes)
        for _, product, location, _ in in_chunks(self._ledger.connection, statements.LEASABLE, codes):
            self._dirty[product, location] = None
            self._freed.add((product, location))
        self._wake.set()

    def _load(self) -> Grants:
        return lease_rows.read_grants(
            self._ledger.connection,
            incarnation=self._ledger.incarnation,
            term_us=self._term_us,
            margin_us=self._margin_us,
        )
