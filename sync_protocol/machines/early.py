"""Central's decision on facts that come before those they follow (design.md §6, priority live > backlog).

An agent that was offline for a month has a million facts to send, and goes on working while they drain. What it records
now must be at central within seconds, out of reach of a stolen computer; but the ledger judges the facts of a device in
the order in which they happened: handed out before received would be a false exception, and of two facts about one item
the last one recorded counts.

So early facts are kept beside the ledger, in its file, durable and in their chain, and enter it when all facts that
came before them have: the ledger is the same, row by row, as if they had come in order. Nothing is judged twice,
nothing is refused, acks stay contiguous (REQ-01: ``through`` is what the ledger has; ``held`` only tells the agent what
it need not send again). The other way, to judge them on arrival where no older fact is about the same item, needs
the agent to know every item of its backlog, through every document and box; one slip is a false exception, or a wrong
state, that nobody can explain a year later.
"""

from collections.abc import Mapping

from sync_protocol.chain import SessionStart
from sync_protocol.machines.ingest import SessionState
from sync_protocol.messages import Batch

MOST_HELD = 50_000
"""Facts of one session that wait at central; more stay at the agent."""


def must_wait(batch: Batch, held: Mapping[bytes, SessionState], parent: SessionState | None) -> bool:
    """Whether the facts of a batch wait beside the ledger.

    ``held``: the sessions that have facts there, as far as these go. ``parent``: what the ledger has of the session
    that the batch's own session follows.
    """
    if batch.start.session in held:
        return True
    return batch.is_early and not may_enter(batch.start, held, parent)


def may_enter(start: SessionStart, held: Mapping[bytes, SessionState], parent: SessionState | None) -> bool:
    """Whether the ledger has every fact before this session. Of an unknown parent it has nothing."""
    if not start.parent_session:
        return True
    return parent is not None and parent.through >= start.parent_seq and start.parent_session not in held
