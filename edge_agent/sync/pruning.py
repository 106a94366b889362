"""The journal does not grow for ever: facts that central has in a verified backup leave it when they are old (REQ-02).

Only a whole prefix leaves, so that the chain goes on from the hash of the last fact that left. Whatever a restored
central may lack stays: facts that are in no backup, and everything while a restored central is being refilled.
"""

import asyncio
from collections.abc import Callable

import structlog

from edge_agent.errors import StoreError
from edge_agent.store.journal import Journal
from edge_agent.store.opening import FACTS_FROM, Line
from sync_protocol.codec import decode_fact
from sync_protocol.errors import FactError, WireError

EVERY_S = 3_600.0
SLICE = 200
"""Facts that leave in one transaction: no scan waits longer for it."""
DAY_US = 86_400_000_000
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.pruning")


async def keep_pruned(
    journal: Journal, *, keep_days: int, now_us: Callable[[], int], may_go_on: Callable[[], bool]
) -> None:
    """Prune now and every hour until cancelled. Raises JournalCorruptError."""
    while True:
        try:
            pruned = await prune(journal, older_than_us=now_us() - keep_days * DAY_US, may_go_on=may_go_on)
        except StoreError as error:
            _log.warning("not_pruned", cause=str(error))
        else:
            if pruned:
                _log.info("pruned", facts=pruned)
        await asyncio.sleep(EVERY_S)


async def prune(journal: Journal, *, older_than_us: int, may_go_on: Callable[[], bool]) -> int:
    """Delete the oldest facts that are safe and were recorded before ``older_than_us``; how many there were.

    ``may_go_on`` is asked before each slice. Raises StoreError.
    """
    pruned = 0
    for session, line in list(journal.lines.items()):
        while line.base < line.end and may_go_on():
            through = _prunable(journal, line, older_than_us)
            if through == line.base:
                return pruned
            pruned += through - line.base
            journal.prune(session, through)
            await asyncio.sleep(0)
        if line.base < line.end:
            return pruned
    return pruned


def _prunable(journal: Journal, line: Line, older_than_us: int) -> int:
    """How far the next slice of a session may leave."""
    safe = min(line.safe, line.acked)
    rows = journal.query(FACTS_FROM, line.position(line.base + 1), line.position(safe), SLICE)
    through = line.base
    for _, body, _ in rows:
        try:
            at = decode_fact(body).at
        except (FactError, WireError):  # of other software: how old it is cannot be read, so it stays
            break
        if at.corrected_us >= older_than_us:
            break
        through += 1
    return through
