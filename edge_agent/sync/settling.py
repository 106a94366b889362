"""Writes down what central has committed, a few times a second at most, and lets the overlay go where it may.

An overlay row leaves when its fact is acked *and* the replica shows a ledger that contains the fact, durably.
"""

import asyncio

from edge_agent.store.journal import Journal
from edge_agent.store.replica import Replica
from sync_protocol.machines.uplink import Settle

LINGER_US = 250_000
"""How long acks gather before they are written: each write is a sync of the disk that no scan should wait for."""
AGAIN_AFTER_US = 2_000_000
SLICE = 500
_FIRST_TOUCHED = "SELECT min(position) FROM overlay"


class Settling:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._acks: dict[bytes, Settle] = {}
        self._due_us: int | None = None
        self._hidden = _hidden(journal)

    @property
    def wake_us(self) -> int | None:
        return self._due_us

    def add(self, settle: Settle, *, now_us: int) -> None:
        self._acks[settle.session] = settle
        steps = self._hidden.setdefault(settle.session, [])
        if not steps or steps[-1] != (settle.through, settle.version):
            steps.append((settle.through, settle.version))
        if len(steps) > SLICE:  # bounded: the two newest become one that waits for the newer
            del steps[-2]
        if self._due_us is None:
            self._due_us = now_us + LINGER_US

    def forget(self) -> None:
        """Another central is spoken to: what the one before acked says nothing of it, but for what is pruned."""
        self._acks.clear()
        self._hidden = _hidden(self._journal)
        self._due_us = None

    async def flush(self, *, now_us: int, replica: Replica | None) -> bool:
        """Whether anything was written. Raises StoreError; what was not written stays due.

        ``replica``: None while the one in use is of another incarnation, whose versions say nothing of these acks:
        its overlay rows stay.
        """
        if self._due_us is not None and now_us < self._due_us:
            return False
        has_acks = bool(self._acks)
        self._due_us = now_us + AGAIN_AFTER_US  # unless all goes well
        while self._acks:
            session, settle = next(iter(self._acks.items()))
            self._journal.settle(session, settle.through, settle.version, settle.safe)
            del self._acks[session]
        if replica is not None:
            await self._let_go(replica)
        self._due_us = None
        return has_acks

    async def _let_go(self, replica: Replica) -> None:
        for session, steps in list(self._hidden.items()):
            shown = [step for step in steps if step[1] <= replica.version]
            if shown:
                await replica.make_durable()  # or a power failure takes both: what the row said and what shows it
                await self._forget(session, shown[-1][0])
                steps[: len(shown)] = []
            if not steps:
                del self._hidden[session]

    async def _forget(self, session: bytes, through: int) -> None:
        dropped = SLICE
        while dropped == SLICE:
            dropped = self._journal.forget_settled(session, through, SLICE)
            await asyncio.sleep(0)


def _hidden(journal: Journal) -> dict[bytes, list[tuple[int, int]]]:
    """(through, version) by session: overlay rows up to ``through`` may leave from replica ``version`` on."""
    ((first,),) = journal.query(_FIRST_TOUCHED)
    return {
        session: [(line.acked, line.acked_version)]
        for session, line in journal.lines.items()
        if first is not None and line.acked and line.position(line.acked) >= first
    }
