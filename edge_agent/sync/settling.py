"""Writes down what central has committed, now and then, and lets the overlay go where it may.

An overlay row leaves when its fact is acked *and* the replica shows a ledger that contains the fact, durably.
"""

from collections.abc import Callable

from edge_agent.store.journal import Journal
from edge_agent.store.replica import Replica
from sync_protocol.machines.uplink_events import Settle

LINGER_US, LEAST_LINGER_US, REST = 250_000, 5_000, 100
"""How long acks gather before they are written, at most and at least: between them it is as many times as long as the
last write took. A write is a sync of the disk that no scan should wait for: a hundredth of the time may be one.
"""
AGAIN_AFTER_US = 2_000_000
SLICE = 500
_FIRST_TOUCHED = "SELECT min(position) FROM overlay"


class Settling:
    def __init__(self, journal: Journal, now_us: Callable[[], int]) -> None:
        self._journal = journal
        self._now_us = now_us
        self._linger_us = LINGER_US
        self._acks: dict[bytes, Settle] = {}
        self._due_us: int | None = None
        self._has_more = False
        """Overlay rows may leave now."""
        self._hidden = _hidden(journal)

    @property
    def wake_us(self) -> int | None:
        return 0 if self._has_more else self._due_us

    def add(self, settle: Settle) -> None:
        self._acks[settle.session] = settle
        steps = self._hidden.setdefault(settle.session, [])
        if not steps or steps[-1] != (settle.through, settle.version):
            steps.append((settle.through, settle.version))
        if len(steps) > SLICE:  # bounded: the two newest become one that waits for the newer
            del steps[-2]
        if self._due_us is None:
            self._due_us = self._now_us() + self._linger_us

    def forget(self) -> None:
        """Another central is spoken to: what the one before acked says nothing of it, but for what is pruned."""
        self._acks.clear()
        self._hidden = _hidden(self._journal)
        self._due_us, self._has_more = None, False

    async def flush(self, replica: Replica | None) -> bool:
        """Whether acks were written. A slice of what may leave goes at each call, so that no event waits for all of it.

        Raises StoreError; what was not written stays due. ``replica``: None while the one in use is of another
        incarnation, whose versions say nothing of these acks: its overlay rows stay.
        """
        began_us = self._now_us()
        is_due = self._due_us is None or began_us >= self._due_us
        if not is_due and not self._has_more:
            return False
        has_acks, due_us = is_due and bool(self._acks), self._due_us
        self._due_us, self._has_more = began_us + AGAIN_AFTER_US, False  # unless all goes well
        if is_due:
            due_us = None
            self._write_acks()
        if replica is not None:
            self._has_more = await self._let_go(replica)
        self._due_us = due_us
        if has_acks:
            self._linger_us = max(LEAST_LINGER_US, min(LINGER_US, REST * (self._now_us() - began_us)))
        return has_acks

    def _write_acks(self) -> None:
        while self._acks:
            session, settle = next(iter(self._acks.items()))
            self._journal.settle(session, settle.through, settle.version, settle.safe)
            del self._acks[session]

    async def _let_go(self, replica: Replica) -> bool:
        """Whether more may leave than did."""
        for session, steps in list(self._hidden.items()):
            shown = [step for step in steps if step[1] <= replica.version]
            if shown:
                await replica.make_durable()  # or a power failure takes both: what the row said and what shows it
                if self._journal.forget_settled(session, shown[-1][0], SLICE) >= SLICE:
                    return True
                steps[: len(shown)] = []
            if not steps:
                del self._hidden[session]
        return False


def _hidden(journal: Journal) -> dict[bytes, list[tuple[int, int]]]:
    """(through, version) by session: overlay rows up to ``through`` may leave from replica ``version`` on."""
    ((first,),) = journal.query(_FIRST_TOUCHED)
    return {
        session: [(line.acked, line.acked_version)]
        for session, line in journal.lines.items()
        if first is not None and line.acked and line.position(line.acked) >= first
    }
