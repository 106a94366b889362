"""Batches into one commit: each admitted against its session, filed, and what that proves put on the work list."""

from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import partial

from central.ledger import statements
from central.ledger.transaction import Transaction
from central.sync.early import Early
from central.sync.lineage import Heard, compare_children, hash_of, register
from sync_protocol.chain import SessionStart
from sync_protocol.machines.ingest import Admission, admit
from sync_protocol.messages import Batch

BUDGET = 10_000
"""Rows that one commit changes, about: it must fit a delta."""
AT_ONCE = 1_000
"""Facts after which a commit takes no further batch: a larger one saves little, and everything else waits for it."""


def enter_early(transaction: Transaction, early: Early, session: bytes) -> tuple[int, int]:
    """The first and the last seq of what entered."""
    first, last = early.enter(transaction, session, BUDGET)
    compare_children(transaction, {session: first - 1})
    return first, last


def append_some(
    transaction: Transaction,
    waiting: deque[Batch],
    before: Mapping[str, Heard],
    early: Early,
    parted: AbstractSet[bytes],
) -> list[tuple[SessionStart, Admission]]:
    """Append batches from the front until the budget is spent; leave the rest. Returns chains that cannot be true.

    ``parted``: sessions of which that is known, and being put right.
    """
    grown: dict[bytes, int] = {}
    conflicts = _append_batches(transaction, waiting, before, grown, early)
    for start, admission in conflicts:
        if admission.common is None and start.session not in parted:
            _raise_once(transaction, start, admission.conflict)
    compare_children(transaction, grown)
    return conflicts


def _append_batches(
    transaction: Transaction,
    waiting: deque[Batch],
    before: Mapping[str, Heard],
    grown: dict[bytes, int],
    early: Early,
) -> list[tuple[SessionStart, Admission]]:
    """``grown``: filled with the sessions that got facts, and how far each was before."""
    conflicts = []
    transaction.know(batch.start.session for batch in waiting)
    while waiting and transaction.size < BUDGET and len(transaction.folded) < AT_ONCE:
        batch = waiting[0]
        committed = transaction.session(batch.start.session)
        if committed is None and batch.is_early:
            _file(transaction, batch.start, before[batch.start.device])
        if is_early := early.holds(transaction, batch):
            admission = early.hold(transaction, batch)
        else:
            admission = admit(batch, committed, partial(hash_of, transaction, batch.start.session))
        if admission.conflict:
            conflicts.append((batch.start, admission))
        elif admission.facts and not is_early:
            if committed is None:
                _file(transaction, batch.start, before[batch.start.device])
            grown.setdefault(batch.start.session, committed.through if committed else 0)
            if transaction.append(admission.facts, budget=BUDGET) < len(admission.facts):
                return conflicts
        waiting.popleft()
    return conflicts


def _file(transaction: Transaction, start: SessionStart, heard: Heard) -> None:
    """An earlier start of a journal that has said HELLO: what that lost was counted then."""
    register(transaction, start, heard.heads, heard)


def _raise_once(transaction: Transaction, start: SessionStart, found: str) -> None:
    """The agent sends it again and again: one line on the work list is enough."""
    if not transaction.select(statements.SAME_CONFLICT, (start.session, found)):
        transaction.raise_misfit(start, reason="chain_conflict", found=found, expected="the chain in the ledger")
