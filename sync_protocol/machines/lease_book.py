"""Who keeps which code from all others: the leases of the grants machine, no code in two of them (REQ-08)."""

from collections import Counter
from collections.abc import Iterable

from sync_protocol.machines.grants_events import Lease
from sync_protocol.subcode import box_of


class LeaseBook:
    """``leases`` by device, ``holders`` by code. ``changed_devices``, ``changed_codes``: not written down yet."""

    def __init__(self, leases: Iterable[Lease]) -> None:
        self.leases = {lease.device: lease for lease in leases}
        self.holders: dict[str, str] = {}
        for lease in self.leases.values():
            lease.tally = Counter(lease.products.values())
            assert not self.holders.keys() & set(lease.kept), f"{lease.device} holds what another holds"
            self.holders.update(dict.fromkeys(lease.kept, lease.device))
        self._opened = Counter(box for code in self.holders if (box := box_of(code)) != code)
        """How many units of a box somebody keeps."""
        self.changed_devices: set[str] = set()
        self.changed_codes: set[str] = set()

    def holder(self, code: str) -> str:
        """The agent that keeps the code from all others; empty: nobody."""
        return self.holders.get(code, "")

    def is_free(self, code: str) -> bool:
        """Whether anybody may have it. A box of which units are kept was opened, whatever the ledger says of it."""
        return code not in self.holders and not self._opened[code]

    def enlist(self, device: str) -> Lease:
        """The agent's lease; a new one is of no session yet."""
        if device not in self.leases:
            self.leases[device] = Lease(device=device, session=b"", location="", route="")
            self.changed_devices.add(device)
        return self.leases[device]

    def leave(self, device: str, incarnation: int) -> None:
        """It states itself to that life of the ledger, which may be newer than the one that it is known to."""
        lease = self.leases.get(device)
        if lease is not None and incarnation > lease.spoken_to:
            lease.spoken_to = incarnation
            self.changed_devices.add(device)

    def hold(self, lease: Lease, code: str, product: str, *, number: int) -> None:
        assert self.holder(code) in {"", lease.device}, f"{code} is held by {self.holder(code)}"
        self._enter(lease, code, product)
        lease.codes[code] = number

    def lose(self, device: str, code: str) -> None:
        """It left by ``device``, whoever held it, and nobody gets it unless it is found."""
        holder = self.holder(code)
        product = self.leases[holder].products[code] if holder else ""
        self.let_go(holder, code)
        lease = self.enlist(device)
        self._enter(lease, code, product)
        lease.missing.add(code)

    def doubt(self, device: str, code: str, *, is_claimed: bool) -> None:
        """It may have left by ``device``. Who may still issue it keeps it until it claims it no more.

        That may be another one, or the device itself if it ``is_claimed``: by a statement from after that fact.
        """
        lease = self.leases.get(self.holder(code))
        if lease is None or (lease.device == device and not is_claimed) or code not in lease.codes:
            self.lose(device, code)
        else:
            lease.doubted.add(code)
            self.changed_codes.add(code)

    def give_up(self, lease: Lease, code: str) -> None:
        """Its holder does not claim it any more."""
        del lease.codes[code]
        (lease.missing if code in lease.doubted else lease.given_up).add(code)
        lease.doubted.discard(code)
        self.changed_codes.add(code)

    def take_over(self, lease: Lease, code: str, product: str, *, incarnation: int) -> None:
        """The agent has it by a grant that a restored ledger has lost, whoever this one takes for its holder.

        Nothing if it has it here too, or if another one has claimed it in this life of the ledger.
        """
        holder = self.leases.get(self.holder(code))
        if holder is not None and code in holder.codes and (holder is lease or holder.spoken_to == incarnation):
            return
        is_doubted = False
        if holder is not None:
            product, is_doubted = holder.products[code], code in holder.missing
            self.let_go(holder.device, code)
        self.hold(lease, code, product, number=0)
        if is_doubted:
            lease.doubted.add(code)

    def loser(self, code: str) -> str:
        """The agent with which the code is missing; empty: it is not."""
        holder = self.holder(code)
        return holder if holder and code in self.leases[holder].missing else ""

    def let_go(self, device: str, code: str) -> None:
        """Nothing if another holds it."""
        if not device or self.holder(code) != device:
            return
        lease = self.leases[device]
        lease.codes.pop(code, None)
        lease.tally[lease.products.pop(code)] -= 1
        lease.doubted.discard(code)
        lease.given_up.discard(code)
        lease.missing.discard(code)
        del self.holders[code]
        self._count(code, -1)
        self.changed_codes.add(code)

    def _enter(self, lease: Lease, code: str, product: str) -> None:
        if code not in lease.products:
            lease.products[code] = product
            lease.tally[product] += 1
        if code not in self.holders:
            self._count(code, 1)
        self.holders[code] = lease.device
        self.changed_codes.add(code)

    def _count(self, code: str, change: int) -> None:
        box = box_of(code)
        if box != code:
            self._opened[box] += change
            if not self._opened[box]:
                del self._opened[box]
