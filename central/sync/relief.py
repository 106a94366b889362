"""An agent that holds so much that orders would find little room is asked for what nobody ordered (REQ-08).

Codes of orders that are taken back stay with the agent that had them, for it may be cut off and need them; over weeks
they would fill its lease, and nothing could be issued there any more.
"""

from collections import Counter
from collections.abc import Iterable

from central.ledger import statements
from central.ledger.staging import in_chunks
from central.ledger.write import Ledger
from sync_protocol.items import State
from sync_protocol.leases import SHARED
from sync_protocol.machines.grants_events import Lease

LOOK_US = 5_000_000


class Relief:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._look_us = 0

    def spare(self, leases: Iterable[Lease], now_us: int) -> tuple[str, ...]:
        """What is in stock for no order, beyond what its holder wants of a product; empty: nobody holds too much.

        It is looked for now and then.
        """
        if now_us < self._look_us:
            return ()
        self._look_us = now_us + LOOK_US
        return tuple(code for lease in leases if len(lease.codes) > SHARED for code in self._spare(lease))

    def _spare(self, lease: Lease) -> Iterable[str]:
        kept: Counter[str] = Counter()
        for code, product, _, state in in_chunks(self._ledger.connection, statements.LEASABLE, sorted(lease.codes)):
            if state == State.IN_STOCK:
                kept[product] += 1
                if kept[product] > lease.want:
                    yield code
