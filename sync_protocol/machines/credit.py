"""How much an agent may have in flight: stated by central in every welcome and ack, obeyed by the agent (REQ-10).

What central can hold is shared by those who have something waiting there. One that floods gets the share of one, and
when little room is left everybody gets little: facts wait at their agents, on disks, and not in central's memory.
"""

BATCH_FACTS = 500
WINDOW = 8
"""Batches of one agent in flight: enough that central has work while the agent reads acks and rows."""
MOST = WINDOW * BATCH_FACTS
"""Facts of one agent in flight, when there is room for all."""
LEAST = 50
"""So that every agent moves on at every contact, however full it is."""
ROOM = 64 * BATCH_FACTS
"""Facts that central holds and has not committed, about."""


def grant(waiting: int, senders: int) -> int:
    """Facts that one agent may have in flight, when ``waiting`` wait at central and ``senders`` have some there."""
    share = max(0, ROOM - waiting) // max(1, senders)
    return max(LEAST, min(MOST, share))
