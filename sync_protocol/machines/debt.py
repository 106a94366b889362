"""What an agent owes a restored ledger: every fact that its journal held when it adopted the new incarnation (REQ-03).

Until that is paid the ledger may say of an item what was true before the agent's own facts, so none of its state is
copied: the replica of the incarnation before, which knows those facts, goes on serving.
"""

from collections.abc import Mapping


class Debt:
    """``heads``: session to the last seq that is owed of it; None: nothing is owed, and nobody waits to hear so."""

    def __init__(self, heads: Mapping[bytes, int] | None = None) -> None:
        self._heads = None if heads is None else {session: head for session, head in heads.items() if head}
        self._version = 0

    @property
    def is_open(self) -> bool:
        return self._heads is not None

    def pay(self, session: bytes, through: int, version: int) -> None:
        """The ledger holds the session through ``through``, and its version ``version`` shows it."""
        if self._heads is None:
            return
        self._version = max(self._version, version)
        if through >= self._heads.get(session, through + 1):
            del self._heads[session]

    def move(self, session: bytes, acked: int, *, through: int, to: bytes, head: int) -> None:
        """Facts of ``session`` past ``through`` stand in the session ``to`` now, up to ``head``."""
        if self._heads is None:
            return
        owed = self._heads.pop(session, 0)
        if owed > through:
            self._heads[to] = head
        if min(owed, through) > acked:
            self._heads[session] = min(owed, through)

    def close(self, version: int) -> int | None:
        """Once, when all is paid: the first version of the ledger whose state contains everything that was owed.

        ``version``: of the message that was just handled.
        """
        if self._heads is None or self._heads:
            return None
        self._heads = None
        return max(self._version, version)
