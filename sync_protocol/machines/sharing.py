"""How free stock is split between the agents of one place: what is locked to orders first, then by what each wants."""

from collections.abc import Iterable, Mapping, Sequence

from sync_protocol.leases import MOST_HELD, SHARED
from sync_protocol.machines.grants_events import Lease, Offer, Standing
from sync_protocol.machines.lease_book import LeaseBook


def serving(leases: Iterable[Lease], location: str, route: str, connected: frozenset[str]) -> list[Lease]:
    """Those whose holders may get what is offered there."""
    return [
        lease
        for lease in leases
        if lease.standing is Standing.LIVE
        and (lease.location, lease.route) == (location, route)
        and lease.device in connected
    ]


def may_fill_up(lease: Lease, product: str) -> bool:
    """Whether its stock is so low that ``Sharing`` fills it up if enough is free."""
    has = lease.tally[product]
    return has < lease.want and has * 2 <= lease.want and len(lease.codes) < SHARED


class Sharing:
    """New codes by device, disjoint from each other and from what is in the ``book`` already."""

    def __init__(self, serving: Sequence[Lease], book: LeaseBook) -> None:
        self._leases = {lease.device: lease for lease in sorted(serving, key=lambda lease: lease.device)}
        self._book = book
        self._given: dict[str, list[str]] = {device: [] for device in self._leases}
        self._taken: set[str] = set()
        self.surplus: dict[str, str] = {}
        """Codes that their holders should give back, with the holder."""

    @property
    def given(self) -> dict[str, tuple[str, ...]]:
        return {device: tuple(codes) for device, codes in self._given.items() if codes}

    def split(self, offer: Offer, wanted: Mapping[str, str]) -> None:
        """First what an agent waits for (``wanted``: codes, by whom), then orders, then what each likes to have."""
        if not self._leases:
            return
        for code in (*offer.free, *(code for order in offer.ordered for code in order)):
            if wanted.get(code) in self._leases:
                self._give(wanted[code], (code,), MOST_HELD)
        for order in offer.ordered:
            if any(self._is_free(code) for code in order):
                self._give(self._best(order), order, MOST_HELD)
        self._fill_up(offer)

    def _fill_up(self, offer: Offer) -> None:
        """An agent whose stock fell to half of what it wants, or of an equal part of what there is, is filled up."""
        free = [code for code in offer.free if self._is_free(code)]
        has = {device: lease.tally[offer.product] for device, lease in self._leases.items()}
        part = -(-(len(free) + sum(has.values())) // len(self._leases))
        short = 0
        for device, lease in self._leases.items():
            wants = lease.want if len(self._leases) == 1 else min(lease.want, part)
            missing = wants - has[device]
            if missing > 0 and has[device] * 2 <= wants:
                self._give(device, free[:missing], SHARED)
                short += max(0, missing - len(free))
                free = free[missing:]
        if short:
            self._find_surplus(offer, part, short)

    def _find_surplus(self, offer: Offer, part: int, short: int) -> None:
        """What others hold beyond an equal part, and no order needs: an agent that came later has nothing else."""
        ordered = {code for order in offer.ordered for code in order}
        for device, lease in self._leases.items():
            count = min(short, max(0, lease.tally[offer.product] - part))
            spare = sorted(
                code for code, product in lease.products.items() if product == offer.product and code not in ordered
            )
            self.surplus.update(dict.fromkeys(spare[len(spare) - count :], device))
            short -= count

    def _give(self, device: str, codes: Iterable[str], most: int) -> None:
        got = [code for code in codes if self._is_free(code)][: self._room(device, most)]
        self._taken.update(got)
        self._given[device] += got

    def _room(self, device: str, most: int) -> int:
        return max(0, most - len(self._leases[device].codes) - len(self._given[device]))

    def _is_free(self, code: str) -> bool:
        return code not in self._taken and self._book.is_free(code)

    def _best(self, order: Sequence[str]) -> str:
        """An order goes whole to one agent: to that which has most of it, or else to that which has least at all."""

        def has(device: str) -> tuple[int, int]:
            return sum(self._book.holder(code) == device for code in order), self._room(device, MOST_HELD)

        return max(self._leases, key=has)
