"""Who keeps which code from all others: the leases of the grants machine, no code in two of them (REQ-08)."""

from collections import Counter
from collections.abc import Iterable

from sync_protocol.machines.grants_events import Lease


class LeaseBook:
    """``leases`` by device, ``holders`` by code. ``changed_devices``, ``changed_codes``: not written down yet."""

    def __init__(self, leases: Iterable[Lease]) -> None:
        self.leases = {lease.device: lease for lease in leases}
        self.holders: dict[str, str] = {}
        for lease in self.leases.values():
            lease.tally = Counter(lease.products.values())
            assert not self.holders.keys() & set(lease.kept), f"{lease.device} holds what another holds"
            self.holders.update(dict.fromkeys(lease.kept, lease.device))
        self.changed_devices: set[str] = set()
        self.changed_codes: set[str] = set()

    def holder(self, code: str) -> str:
        """The agent that keeps the code from all others; empty: nobody."""
        return self.holders.get(code, "")

    def enlist(self, device: str) -> Lease:
        """The agent's lease; a new one is of no session yet."""
        if device not in self.leases:
            self.leases[device] = Lease(device=device, session=b"", location="", route="")
            self.changed_devices.add(device)
        return self.leases[device]

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
        lease.given_up.discard(code)
        lease.missing.discard(code)
        del self.holders[code]
        self.changed_codes.add(code)

    def _enter(self, lease: Lease, code: str, product: str) -> None:
        if code not in lease.products:
            lease.products[code] = product
            lease.tally[product] += 1
        self.holders[code] = lease.device
        self.changed_codes.add(code)
