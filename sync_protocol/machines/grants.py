"""Central's decision on who may issue what without asking (REQ-08).

Each agent has one lease at most, for one session of its device: a set of codes, disjoint from all others, and a time.
A code is free again when its holder says that it does not hold it and the ledger has every fact written until then, or
two people counted. An agent that falls silent keeps its codes from all others: after its time they are in doubt.

A lease goes on in the next session of its device; a journal that was set back, copied or lost ends it.

What a restored ledger guarantees: it grants nothing to anybody before every agent that it knows of has told this
incarnation what it holds and the ledger has every fact written until then, or two people have answered for the agent.
No time is enough, for a silent agent may have issued long ago what this ledger has in stock; and as an agent that has
met this incarnation takes nothing from an older one, a second central beside it can grant nothing any more either.
What was issued by a fact that does not fit this ledger is with nobody until it is found, whoever had the lease.
What it cannot guarantee: an agent that central first met after the backup is not waited for, since nothing names it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from sync_protocol.leases import MOST_CLAIMED
from sync_protocol.machines import grants_events as on
from sync_protocol.machines.asking_back import AskingBack
from sync_protocol.machines.lease_book import LeaseBook
from sync_protocol.machines.sharing import Sharing, may_fill_up, serving
from sync_protocol.machines.thaw import Thaw
from sync_protocol.messages import Holder, Holds
from sync_protocol.subcode import box_of

_LASTING = frozenset({on.Standing.DOUBT, on.Standing.FENCED})


class Grants:
    """State machine of all leases. ``unheard``: agents that a ledger that was restored may not know all leases of.

    While there are any nothing is granted to anybody. ``over_us``: when all that was granted before the restore is
    surely over, so that people may answer for an agent that stays silent. ``holders``: by code, who keeps it.
    """

    def __init__(
        self,
        leases: Iterable[on.Lease] = (),
        *,
        term_us: int,
        margin_us: int,
        incarnation: int = 0,
        unheard: Iterable[str] = (),
        over_us: int = 0,
    ) -> None:
        assert 0 < 2 * margin_us < term_us, "a lease lasts longer than what two clocks may disagree"
        self.incarnation = incarnation
        self._term_us = term_us
        self._margin_us = margin_us
        self._book = LeaseBook(leases)
        self._leases = self._book.leases
        self.leases: Mapping[str, on.Lease] = self._leases
        self.holders: Mapping[str, str] = self._book.holders
        heard = {device for device, lease in self._leases.items() if self._is_heard(lease)}
        self._thaw = Thaw(set(unheard).difference(heard), over_us=over_us)
        self._asking = AskingBack()
        self.changed_devices, self.changed_codes = self._book.changed_devices, self._book.changed_codes
        """What is to be written down before any effect is carried out. Who has written it clears both."""

    @property
    def is_frozen(self) -> bool:
        return bool(self._thaw.unheard)

    @property
    def unheard(self) -> frozenset[str]:
        """Agents that a restored ledger waits for."""
        return frozenset(self._thaw.unheard)

    def holder(self, code: str) -> str:
        return self._book.holder(code)

    def serving(self, location: str, route: str, connected: frozenset[str]) -> list[on.Lease]:
        """Who may get what is offered there now."""
        there = [] if self.is_frozen else serving(self._leases.values(), location, route, connected)
        return [lease for lease in there if not self.has_left(lease.device)]

    def takes_free(self, leases: Iterable[on.Lease], product: str) -> bool:
        """Whether an offer to them must name what is free: somebody waits for it, or may be filled up."""
        return bool(self._asking.wanted(self._book.holders)) or any(may_fill_up(lease, product) for lease in leases)

    def takes_over(self, holds: Holds) -> bool:
        """Whether the statement tells of grants of an earlier life of the ledger: products of its codes are needed."""
        return 0 < holds.incarnation < self.incarnation

    def over_us(self, device: str) -> int:
        """When the holder has surely stopped, whatever its clock says."""
        lease = self._leases.get(device)
        known_us = lease.expires_us + 2 * self._margin_us if lease is not None else 0
        return max(known_us, self._thaw.over_us) if device in self._thaw.unheard else known_us

    def countable(self, device: str, now_us: int) -> frozenset[str]:
        """What people may count and take from the agent: all when its time is over, or its journal is no more."""
        if device not in self._leases or self.has_left(device):
            return frozenset()
        lease = self._leases[device]
        return frozenset(lease.kept if self._is_over(device, now_us) else lease.missing)

    def may_end(self, device: str, now_us: int) -> bool:
        """Whether people may answer for the agent: there is something to count, or everyone waits for its word."""
        if self.countable(device, now_us):
            return True
        lease = self._leases.get(device)
        is_awaited = device in self._thaw.unheard or (lease is not None and lease.standing is on.Standing.FENCED)
        return is_awaited and self._is_over(device, now_us) and not self.has_left(device)

    def has_left(self, device: str) -> bool:
        """Whether it answers to a newer life of the ledger: what it has is not for this central to give away."""
        lease = self._leases.get(device)
        return lease is not None and lease.spoken_to > self.incarnation

    def _is_over(self, device: str, now_us: int) -> bool:
        lease = self._leases.get(device)
        is_fenced = lease is not None and lease.standing is on.Standing.FENCED
        return is_fenced or now_us > self.over_us(device)

    def _is_heard(self, lease: on.Lease) -> bool:
        """Whether the ledger has all that the agent did before it first spoke to this incarnation."""
        return lease.spoken_to == self.incarnation and not lease.heads

    def handle(self, event: on.Event) -> list[on.Effect]:  # noqa: PLR0911 -- one line an event
        match event:
            case on.Stated():
                return self._stated(event)
            case on.Asked():
                return self._asked(event)
            case on.Offered():
                return self._offered(event)
            case on.Spent():
                return self._spent(event)
            case on.Needed():
                return [*self._asking.ask(self._recallable(event.codes), event.now_us)]
            case on.Committed():
                return self._committed(event.device, event.through)
            case on.Fenced():
                return self._fenced(event.device)
            case on.Overridden():
                return self._overridden(event)
            case on.Tick():
                return self._tick(event)

    def _stated(self, event: on.Stated) -> list[on.Effect]:
        device, holds = event.device, event.holds
        if holds.spoken_to != self.incarnation:
            self._book.leave(device, holds.spoken_to)
            return []
        lease = self._book.enlist(device)
        if lease.standing is on.Standing.FENCED:
            return [on.SendFence(device=device)]
        if lease.session == holds.session and holds.number <= lease.stated:
            return []
        self._reissue(lease, event)
        self.changed_devices.add(device)
        freed = self._free_given_up(lease, event.committed)
        if holds.is_leaving:
            return freed
        lease.renew(event.now_us + self._term_us)
        lease.number += 1
        whole = self._grant(lease, lease.granted, holds.number, holds.sent_us, event.now_us)
        return [msgspec.structs.replace(whole, is_whole=True), *freed]

    def _reissue(self, lease: on.Lease, event: on.Stated) -> None:
        """Bring what central believes in line with what the holder says of itself."""
        holds = event.holds
        if lease.session != holds.session:
            lease.session, lease.number = holds.session, 0
            self.changed_codes.update(lease.codes)
            lease.codes = dict.fromkeys(lease.codes, 0)
        # What the lost life of a restored ledger did with a grant on its way, nobody knows.
        is_all = holds.is_leaving or lease.spoken_to != self.incarnation
        lease.number = max(lease.number, holds.seen)
        lease.stated, lease.spoken_to = holds.number, holds.spoken_to
        lease.standing = on.Standing.GONE if holds.is_leaving else on.Standing.LIVE
        lease.location, lease.route, lease.want = holds.location, holds.route, holds.want
        lease.heads = {position.session: position.through for position in holds.heads}
        claimed = set(holds.codes)
        on_its_way = () if is_all else (code for code, number in lease.codes.items() if number > holds.seen)
        kept = claimed.union(on_its_way)
        for code in list(lease.codes):
            if code not in kept and box_of(code) not in kept:  # who has the box, or gets it, may open it
                self._book.give_up(lease, code)
                self._asking.answered(code)
        # What an earlier life of the ledger granted, after the backup that this one comes from.
        if self.takes_over(holds):
            for code in sorted(claimed):
                self._book.take_over(lease, code, event.products.get(code, ""), incarnation=self.incarnation)

    def _asked(self, event: on.Asked) -> list[on.Effect]:
        device, ask = event.device, event.ask
        lease = self._leases.get(device)
        if lease is not None and lease.standing is on.Standing.FENCED:
            return [on.SendFence(device=device)]
        is_known = lease is not None and lease.session == ask.session and lease.standing is on.Standing.LIVE
        if lease is None or not is_known or ask.seen > lease.number:
            return [on.SendAskHolds(device=device)]
        effects: list[on.Effect] = []
        missing = {code for code, number in lease.codes.items() if number > ask.seen and code not in lease.doubted}
        wanted = [code for code in ask.codes if code not in missing]
        got = [code for code in wanted if self._may_get(lease, code, event.products)]
        effects += self._ask_others(lease, set(wanted).difference(got), event)
        if got:
            lease.number += 1
            for code in got:
                lease.given_up.discard(code)
                self._book.hold(
                    lease, code, event.products.get(code, lease.products.get(code, "")), number=lease.number
                )
        lease.renew(event.now_us + self._term_us)
        self.changed_devices.add(device)
        codes = tuple(sorted(missing.union(got)))
        return [self._grant(lease, codes, ask.seen, ask.sent_us, event.now_us), *effects]

    def _may_get(self, lease: on.Lease, code: str, products: Mapping[str, str]) -> bool:
        """What it holds already, or what is free at its place, or what it gave back itself."""
        if code in lease.codes:
            return code not in lease.doubted
        is_free = code in lease.given_up or (code in products and self._book.is_free(code))
        return is_free and not self.is_frozen and len(lease.codes) < MOST_CLAIMED

    def _ask_others(self, lease: on.Lease, codes: set[str], event: on.Asked) -> list[on.Effect]:
        """Ask holders for what they may give back; say of the rest who has it."""
        held = self._recallable(sorted(codes.intersection(event.products)))
        self._asking.wait(lease.device, held, event.now_us)
        by = tuple(Holder(code=code, device=self.holder(code)) for code in sorted(codes.difference(held)))
        withheld = [on.SendWithheld(device=lease.device, by=by)] if by else []
        return [*self._asking.ask(held, event.now_us), *withheld]

    def _recallable(self, codes: Iterable[str]) -> dict[str, str]:
        """Those of the codes that have a holder who may give them back, with the holder."""
        return {code: self.holder(code) for code in codes if self._is_live(self.holder(code), code)}

    def _is_live(self, device: str, code: str) -> bool:
        lease = self._leases.get(device)
        return lease is not None and lease.standing is on.Standing.LIVE and code not in lease.missing

    def _offered(self, event: on.Offered) -> list[on.Effect]:
        offer = event.offer
        sharing = Sharing(self.serving(offer.location, offer.route, event.connected), self._book)
        sharing.split(offer, self._asking.wanted(self._book.holders))
        effects: list[on.Effect] = [*self._asking.ask(self._recallable(sharing.surplus), event.now_us)]
        for device, codes in sharing.given.items():
            lease = self._leases[device]
            lease.number += 1
            self._asking.got(codes)
            for code in codes:
                self._book.hold(lease, code, offer.product, number=lease.number)
            self.changed_devices.add(device)
            number, session = lease.number, lease.session
            effects.append(on.SendGrant(device=device, session=session, number=number, after=number - 1, codes=codes))
        return effects

    def _spent(self, event: on.Spent) -> list[on.Effect]:
        spender = self._leases.get(event.device)
        claimed = spender.codes if event.is_told and spender is not None else {}
        for code in event.ended:
            if code in claimed and code not in event.unfit:
                continue  # it has it again since: a restored ledger hears of both once more
            if code not in event.unfit:
                self._book.let_go(self._book.loser(code) or event.device, code)
            else:
                self._book.doubt(event.device, code, is_claimed=code in claimed)
        for box, units in event.opened:
            lease = self._leases.get(self.holder(box))
            if lease is None or box in lease.missing:
                continue
            # Opened by another, the holder does not know of the units yet, and may open the box all the same; it
            # may even have done so, if it does not claim the box any more and its facts are on their way.
            number, product = 0, lease.products[box]
            if lease.device == event.device:
                number = lease.codes.get(box, 0)
                self._book.let_go(event.device, box)
            for unit in units:
                if not self.holder(unit):
                    self._book.hold(lease, unit, product, number=number)
        return []

    def _committed(self, device: str, through: Mapping[bytes, int]) -> list[on.Effect]:
        return self._free_given_up(self._leases[device], through) if device in self._leases else []

    def _fenced(self, device: str) -> list[on.Effect]:
        lease = self._leases.get(device)
        if lease is None:
            if device not in self._thaw.unheard:
                return []  # it holds nothing
            lease = self._book.enlist(device)
        lease.standing = on.Standing.FENCED
        self.changed_devices.add(device)
        return [on.SendFence(device=device)]

    def _overridden(self, event: on.Overridden) -> list[on.Effect]:
        device, lease = event.device, self._book.enlist(event.device)
        counted = self.countable(device, event.now_us)
        is_whole = self._is_over(device, event.now_us)
        assert counted.issuperset(event.found), "who asks has looked whether it is time"
        for code in event.found:
            self._book.let_go(device, code)
        for code in sorted(counted.difference(event.found)):
            self._book.lose(device, code)
        self.changed_devices.add(device)
        if not is_whole:  # only what was missing was counted
            return [on.Freed(codes=event.found)]
        # The session that had them must say anew what it holds: not these. Nothing that it wrote is waited for.
        lease.standing = on.Standing.DOUBT if lease.kept else on.Standing.GONE
        lease.session, lease.stated, lease.heads, lease.spoken_to = b"", 0, {}, self.incarnation
        self._thaw.heard(device)
        return [on.Freed(codes=event.found), on.SendAskHolds(device=device)]

    def _tick(self, event: on.Tick) -> list[on.Effect]:
        effects: list[on.Effect] = []
        for device, lease in list(self._leases.items()):
            if lease.standing in _LASTING or event.now_us <= self.over_us(device):
                continue
            self.changed_devices.add(device)
            if lease.kept:
                lease.standing = on.Standing.DOUBT
                effects.append(on.Doubted(device=device, codes=len(lease.kept)))
            elif not self.is_frozen:  # or else it says who has been heard
                del self._leases[device]
        effects += self._asking.tick(self._book.holders, event.now_us)
        asked = self._thaw.to_ask(event.now_us, event.connected)
        return [*effects, *(on.SendAskHolds(device=device) for device in asked)]

    def _free_given_up(self, lease: on.Lease, committed: Mapping[bytes, int]) -> list[on.Effect]:
        heads = {session: head for session, head in lease.heads.items() if committed.get(session, 0) < head}
        if heads != lease.heads:
            lease.heads = heads
            self.changed_devices.add(lease.device)
        if self._is_heard(lease):
            self._thaw.heard(lease.device)
        if heads or not lease.given_up:
            return []
        codes = tuple(sorted(lease.given_up))
        for code in codes:
            self._book.let_go(lease.device, code)
        return [on.Freed(codes=codes)]

    def _grant(self, lease: on.Lease, codes: tuple[str, ...], after: int, sent_us: int, now_us: int) -> on.SendGrant:
        """The answer to what was sent at ``sent_us`` by the agent's clock."""
        return on.SendGrant(
            device=lease.device,
            session=lease.session,
            number=lease.number,
            after=after,
            codes=codes,
            sent_us=sent_us,
            left_us=max(0, lease.expires_us - now_us - self._margin_us),
        )
