"""Central's decision on a batch: what of it is new, and whether it follows from what is committed (REQ-01, REQ-04)."""

from collections.abc import Callable

import msgspec

from sync_protocol.chain import SessionStart, Stretch, links
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

    facts: Stretch
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
        return _none(state, "the session was opened with another parent")
    known = state.through - batch.first_seq + 1
    if known < 0:
        return _none(state)
    hashes = [batch.previous_hash, *links(batch.previous_hash, batch.bodies)]
    if known >= len(batch.bodies):
        is_same = stored(batch.last_seq) == hashes[-1]
        conflict = "" if is_same else f"fact {batch.last_seq} is not the one that was committed under its number"
        return _none(state, conflict)
    if hashes[known] != state.head:
        return _none(state, f"fact {state.through + 1} does not follow from fact {state.through}")
    new, after = batch.bodies[known:], hashes[known + 1 :]
    facts = Stretch(start=batch.start, first_seq=state.through + 1, bodies=new, hashes=after)
    return Admission(facts=facts, state=SessionState(start=state.start, through=batch.last_seq, head=hashes[-1]))


def _none(state: SessionState, conflict: str = "") -> Admission:
    facts = Stretch(start=state.start, first_seq=state.through + 1, bodies=(), hashes=[])
    return Admission(facts=facts, state=state, conflict=conflict)
