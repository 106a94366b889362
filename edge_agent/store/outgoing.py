"""What of the journal central has not committed yet: the batches to send, and how much waits how long."""

from collections.abc import Mapping

import msgspec

from edge_agent.store.journal import Journal
from edge_agent.store.opening import FACTS_FROM, HASH_AT, Line
from edge_agent.store.sqlite import corrupt
from sync_protocol.chain import link
from sync_protocol.codec import decode_fact
from sync_protocol.errors import FactError, WireError
from sync_protocol.machines import uplink_events as on
from sync_protocol.messages import Batch, Position

BATCH_BYTES = 240 * 1024
"""Of facts: with what stands around them a message stays below ``codec.MAX_UP``, however badly it packs."""
_READ_AT_ONCE = 64
_NOTHING_HEARD: dict[bytes, int] = {}


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that are not in the ledger, and when the oldest of them was recorded."""

    facts: int
    since_us: int | None


def unsent_lines(journal: Journal) -> list[on.Line]:
    """Every session that central has not wholly committed, oldest first."""
    return [
        on.Line(session=session, head=line.end, acked=line.acked, kept=line.base)
        for session, line in journal.lines.items()
        if line.acked < line.end
    ]


def kept_lines(journal: Journal) -> list[on.Line]:
    """Every session of which facts are here, and the current one, as if central had nothing that is kept here."""
    return [
        on.Line(session=session, head=line.end, acked=line.base, kept=line.base)
        for session, line in journal.lines.items()
        if line.end > line.base or line is journal.current
    ]


def settled_lines(journal: Journal) -> list[Position]:
    """Sessions that central has wholly committed, but for those whose facts are all pruned; oldest first.

    The last one is always among them: a ledger that does not have it went back in time.
    """
    return [
        Position(session=session, through=line.acked, safe=line.safe)
        for session, line in journal.lines.items()
        if line.base < line.end <= line.acked and line is not journal.current
    ]


def read_batch(
    journal: Journal, session: bytes, *, after: int, limit: int, max_bytes: int = BATCH_BYTES, is_early: bool = False
) -> Batch:
    """At most ``limit`` facts and ``max_bytes``, but one at least. Raises JournalCorruptError for a broken chain."""
    line = journal.lines[session]
    previous = first_hash = _hash_of(journal, line, after)
    bodies: list[bytes] = []
    size = 0
    while len(bodies) < limit:
        from_seq = after + len(bodies) + 1
        at_once = min(_READ_AT_ONCE, limit - len(bodies))
        rows = journal.query(FACTS_FROM, line.position(from_seq), line.position(line.end), at_once)
        for offset, (position, body, digest) in enumerate(rows):
            size += len(body)
            if bodies and size > max_bytes:
                return _batch(journal, line, after, first_hash, bodies, is_early=is_early)
            previous = link(previous, body)
            if position != line.position(from_seq + offset) or digest != previous:
                raise corrupt(journal.path, f"fact {from_seq + offset} of session {line.number} was changed")
            bodies.append(body)
        if len(rows) < at_once:
            break
    return _batch(journal, line, after, first_hash, bodies, is_early=is_early)


def waiting(journal: Journal, heard: Mapping[bytes, int] = _NOTHING_HEARD) -> Waiting:
    """One pass over the sessions; the facts themselves are counted, not read, but for the oldest.

    ``heard``: how far each session was acked, as far as that is not written down yet.
    """
    since = [(line, max(line.acked, heard.get(session, 0)) + 1) for session, line in journal.lines.items()]
    facts = sum(max(0, line.end + 1 - seq) for line, seq in since)
    for line, seq in since:
        if seq <= line.end:
            ((_, body, _),) = journal.query(FACTS_FROM, line.position(seq), line.position(seq), 1)
            return Waiting(facts=facts, since_us=_recorded_us(body))
    return Waiting(facts=0, since_us=None)


def is_strange(journal: Journal, session: bytes, seq: int, digest: bytes) -> bool:
    """Whether central's fact ``seq``, with this hash, is another one than the journal's; what is pruned is the same.

    Raises StoreError.
    """
    line = journal.lines.get(session)
    if line is None or not line.base <= seq <= line.end or seq < 1:
        return False
    return _hash_of(journal, line, seq) != digest


def _batch(
    journal: Journal, line: Line, after: int, first_hash: bytes, bodies: list[bytes], *, is_early: bool
) -> Batch:
    return Batch(
        start=line.start,
        first_seq=after + 1,
        previous_hash=first_hash,
        bodies=tuple(bodies),
        is_early=is_early,
        incarnation=journal.incarnation,
    )


def _hash_of(journal: Journal, line: Line, seq: int) -> bytes:
    if seq == line.base:
        return line.base_hash
    rows = journal.query(HASH_AT, line.position(seq))
    if not rows:
        raise corrupt(journal.path, f"fact {seq} of session {line.number} is missing")
    digest: bytes = rows[0][0]
    return digest


def _recorded_us(body: bytes) -> int | None:
    try:
        return decode_fact(body).recorded_us
    except (FactError, WireError):  # written by other software; central will say what it is
        return None
