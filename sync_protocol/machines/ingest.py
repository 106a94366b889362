"""Central's decision on a batch: what of it is new, and whether it follows from what is committed (REQ-01, REQ-04)."""

from bisect import bisect_left
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
    ``common``: the seq and the hash of the last fact that both histories have; None: the batch begins after it.
    """

    facts: Stretch
    state: SessionState
    conflict: str = ""
    common: tuple[int, bytes] | None = None


def begin(start: SessionStart) -> SessionState:
    return SessionState(start=start, through=0, head=start.hash)


def admit(batch: Batch, committed: SessionState | None, stored: Callable[[int], bytes | None]) -> Admission:
    """Decide on a batch against the committed state of its session (None: never heard of).

    A replay admits nothing and is acked again; after a gap nothing is admitted, so that the ack stays contiguous
    and the agent goes back to it. A batch that overlaps the committed end admits its new part only. ``stored`` tells
    the hash of a committed fact: other facts under known numbers are no replay. A virtual machine that was set back
    while it ran writes such facts; taken for a replay they would be acked and lost. It is told where its history parts
    from the committed one, and writes what follows again (``machines.uplink``).
    """
    state = committed or begin(batch.start)
    if batch.start != state.start:
        return _none(state, "the session was opened with another parent")
    before = batch.first_seq - 1
    if before > state.through:
        return _none(state)
    hashes = [batch.previous_hash, *links(batch.previous_hash, batch.bodies)]

    def is_other(index: int) -> bool:
        """Whether the fact before the one at ``index`` of the batch, or one before that, is not the committed one."""
        seq = before + index
        if seq == state.through:
            return hashes[index] != state.head
        return hashes[index] != (stored(seq) if seq else state.start.hash)

    known = min(state.through - before, len(batch.bodies))
    if is_other(known):
        same = bisect_left(range(known), x=True, key=is_other) - 1
        conflict = f"fact {before + known} is not the one that was committed under its number"
        return _none(state, conflict, (before + same, hashes[same]) if same >= 0 else None)
    if known == len(batch.bodies):
        return _none(state)
    new, after = batch.bodies[known:], hashes[known + 1 :]
    facts = Stretch(start=batch.start, first_seq=state.through + 1, bodies=new, hashes=after)
    return Admission(facts=facts, state=SessionState(start=state.start, through=batch.last_seq, head=hashes[-1]))


def _none(state: SessionState, conflict: str = "", common: tuple[int, bytes] | None = None) -> Admission:
    facts = Stretch(start=state.start, first_seq=state.through + 1, bodies=(), hashes=[])
    return Admission(facts=facts, state=state, conflict=conflict, common=common)
