"""Sessions that the ledger never heard of: filed, and judged by what it knows of their device (REQ-04)."""

import sqlite3
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec
import structlog

from central.ledger import statements
from central.ledger.session_rows import read_session
from central.ledger.transaction import Transaction
from sync_protocol.chain import SessionStart
from sync_protocol.machines.ingest import SessionState
from sync_protocol.machines.lineage import Finding, Judgement, Past, judge

EXPECTED = {
    Finding.FORKED: "one journal on one device",
    Finding.ROLLED_BACK: "the journal as it was last heard of",
    Finding.LOST: "the journal that this device had",
}
BEYOND = "facts that the ledger has and this journal has not"
LOST = "facts that it told of and that are lost"
"""Neither its journal nor the ledger has them. What was recorded after it was last heard of nobody can count."""
HEARD = "last heard of before"
MOST_ANCESTORS = 10_000
"""A device says itself what its sessions follow, and must not keep central busy with it."""
_NO_PARENT = b""
_log = structlog.get_logger("central.lineage")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a device said before: how far its sessions were written, and when it was last heard of in civil time.

    ``session``: the one that said HELLO last. ``held``: those of the sessions that its journal has.
    """

    heads: Mapping[bytes, int] = {}
    held: AbstractSet[bytes] = frozenset()
    at: str = ""
    session: bytes | None = None


def register(transaction: Transaction, start: SessionStart, held: Mapping[bytes, int], before: Heard) -> None:
    """File the session, and what it proves. ``held``: how far its journal goes in sessions that it has to send."""
    if transaction.session(start.session) is not None:
        return
    judgement = judge(start, held, _past(transaction, start, before))
    transaction.open_session(start)
    if judgement is not None:
        _raise(transaction, start, judgement, before.at)


def compare_children(transaction: Transaction, grown: Mapping[bytes, int]) -> None:
    """Sessions grew, each from a seq: a start that follows one of its facts before the new last one is a fork.

    That is how a copy of a computer is found whose original goes on without a restart.
    """
    through = {}
    for session in grown:
        state = transaction.session(session)
        assert state is not None, "only asked of sessions that grew"
        through[session] = state.through
    spans = [(session, before, through[session]) for session, before in grown.items()]
    for (child,) in transaction.select_of(statements.CHILD_SESSIONS, spans):
        fork = transaction.session(child)
        assert fork is not None, "it was just found"
        beyond = through[fork.start.parent_session] - fork.start.parent_seq
        _raise(transaction, fork.start, Judgement(finding=Finding.FORKED, beyond=beyond), "")


def _past(transaction: Transaction, start: SessionStart, before: Heard) -> Past:
    heads = before.heads
    parent = transaction.session(start.parent_session) if start.parent_session else None
    ((siblings,),) = transaction.select(statements.SIBLING_SESSIONS, (start.parent_session, start.session))
    ((children,),) = transaction.select(statements.SIBLING_SESSIONS, (start.session, start.session))
    ((roots,),) = transaction.select(statements.OTHER_ROOTS, (start.device, start.session, _NO_PARENT))
    others = transaction.select(statements.OTHER_SESSION, (start.device, start.session))
    known = {session: transaction.session(session) for session in heads}
    is_of_last = start.session in before.held and before.session not in {None, start.session}
    return Past(
        # What the journal that said HELLO last in a later session told of, and this one is of, is no other journal.
        is_known=bool(others or heads.keys() - {start.session} - (before.held if is_of_last else set())),
        is_held=start.session in before.held and _is_filed(transaction, before.session),
        roots=roots,
        parent=(parent.through, _hash_at(transaction, parent, start.parent_seq)) if parent else None,
        siblings=siblings if start.parent_session else 0,
        is_beside=_is_beside(transaction, start, before.session),
        children=children,
        heads=heads,
        through={session: state.through if state else 0 for session, state in known.items()},
    )


def hash_of(transaction: Transaction, session: bytes, seq: int) -> bytes | None:
    """Of a committed fact; None: the ledger has none under this number."""
    rows = transaction.select(statements.HASH_OF, (session, seq))
    return rows[0][0] if rows else None


def _hash_at(transaction: Transaction, state: SessionState, seq: int) -> bytes:
    """Of a fact of the session, or of the last one that the ledger has."""
    if seq == 0:
        return state.start.hash
    return hash_of(transaction, state.start.session, seq) or state.head


def _is_beside(transaction: Transaction, start: SessionStart, last: bytes | None) -> bool:
    """A copy of a computer that people did not find is found again when it comes back and its original has gone on."""
    if last is None or last in {start.session, start.parent_session}:
        return False
    state = transaction.session(last)
    own = _ancestors(transaction, start)
    if state is None or own is None or last in own:
        return False
    others = _ancestors(transaction, state.start)
    return others is not None and start.session not in others


def follows(connection: sqlite3.Connection, later: bytes | None, earlier: bytes) -> bool:
    """Whether a session comes after another one, as far as the ledger has heard of those between."""
    for _ in range(MOST_ANCESTORS):
        state = read_session(connection, later) if later else None
        if state is None:
            return False
        later = state.start.parent_session
        if later == earlier:
            return True
    return False


def _ancestors(transaction: Transaction, start: SessionStart) -> set[bytes] | None:
    """The sessions that a session follows; None if the ledger has not heard of all of them."""
    found: set[bytes] = set()
    while start.parent_session:
        parent = transaction.session(start.parent_session)
        if parent is None or start.parent_session in found or len(found) == MOST_ANCESTORS:
            return None
        found.add(start.parent_session)
        start = parent.start
    return found


def _is_filed(transaction: Transaction, session: bytes | None) -> bool:
    """Whether what was told of is of one journal: one that only began to speak has had nothing of its own judged."""
    return session is not None and transaction.session(session) is not None


def _raise(transaction: Transaction, start: SessionStart, judgement: Judgement, heard_at: str) -> None:
    counts = [f"{BEYOND}: {judgement.beyond}"] if judgement.beyond else []
    counts.append(f"{LOST}: {judgement.lost}")
    if heard_at:
        counts.append(f"{HEARD}: {heard_at}")
    finding = judgement.finding
    _log.error("journal rolled back, cloned or lost", device=start.device, finding=finding, counts=counts)
    transaction.raise_misfit(start, reason=finding, found=", ".join(counts), expected=EXPECTED[finding])
