"""Central's decision on a batch: what of it is new, and whether it follows from what is committed (REQ-01, REQ-04)."""

from collections.abc import Callable

import msgspec

from sync_protocol.chain import SessionStart, link, seal
from sync_protocol.facts import SealedFact
from sync_protocol.messages import Batch


class SessionState(msgspec.Struct, frozen=True, kw_only=True):
    """What is committed of one session."""

    start: SessionStart
    through: int
    head: bytes
    """Hash of the fact ``through``; of the session start while ``through`` is 0."""


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """``facts`` are to be appended in order; ``state`` is the session once they are committed.

    ``conflict`` names a chain that cannot be true: same identity, other bytes. Nothing of such a batch is taken.
    """

    facts: tuple[SealedFact, ...]
    state: SessionState
    conflict: str = ""


def begin(start: SessionStart) -> SessionState:
    return SessionState(start=start, through=0, head=start.hash)


def admit(batch: Batch, committed: SessionState | None, stored: Callable[[int], bytes | None]) -> Admission:
    """Decide on a batch against the committed state of its session (None: never heard of).

    A replay admits nothing and is acked again; after a gap nothing is admitted, so that the ack stays contiguous
    and the agent goes back to it. A batch that overlaps the committed end admits its new part only. ``stored`` tells
    the hash of a committed fact: other facts under known numbers are no replay. A virtual machine that was set back
    while it ran writes such facts; taken for a replay they would be acked and lost.
    """
    state = committed or begin(batch.start)
    if batch.start != state.start:
        return Admission(facts=(), state=state, conflict="the session was opened with another parent")
    known = state.through - batch.first_seq + 1
    if known < 0:
        return Admission(facts=(), state=state)
    if known >= len(batch.bodies):
        is_same = stored(batch.last_seq) == _last_hash(batch)
        conflict = "" if is_same else f"fact {batch.last_seq} is not the one that was committed under its number"
        return Admission(facts=(), state=state, conflict=conflict)
    facts: list[SealedFact] = []
    previous = batch.previous_hash
    for seq, body in enumerate(batch.bodies, start=batch.first_seq):
        if seq == state.through + 1 and previous != state.head:
            return Admission(facts=(), state=state, conflict=f"fact {seq} does not follow from fact {state.through}")
        sealed = seal(batch.start, seq, previous, body)
        previous = sealed.hash
        if seq > state.through:
            facts.append(sealed)
    return Admission(facts=tuple(facts), state=msgspec.structs.replace(state, through=batch.last_seq, head=previous))


def _last_hash(batch: Batch) -> bytes:
    digest = batch.previous_hash
    for body in batch.bodies:
        digest = link(digest, body)
    return digest
