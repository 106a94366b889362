"""Central's incarnation: which life of the ledger this is. It changes by itself when the ledger was restored (REQ-03).

The ledger carries a mark of where it stands; the same mark is kept outside it, in a file that no backup of the ledger
contains. A ledger that stands behind the mark outside, or whose mark outside is missing, is a restored one: it is
given a new incarnation before it says a word. The number is a time, so that of two lives the later begun is higher
wherever they were begun.
"""

import msgspec

LIVES_APART = 10_000_000
"""Versions that a new life leaves out: more than the life before it had commits since its backup (4 a second, 4 weeks).

A fact says by a ledger version what its device knew (``checked_at``). If two lives gave one number to two commits, a
step that was checked in the life before would pass for one whose device knew what others did in this one.
"""


class Mark(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Where a ledger stands: its incarnation, the number of its commits, and what identifies the last of them."""

    incarnation: int
    position: int
    head: bytes


def wake(ledger: Mark, outside: Mark | None, *, now_us: int) -> int:
    """The incarnation that a starting central has: the ledger's own, or a new one that is higher than any known."""
    if outside is not None and outside.incarnation == ledger.incarnation and not _is_behind(ledger, outside):
        return ledger.incarnation
    return mint(now_us, ledger.incarnation, outside.incarnation if outside else 0)


def mint(now_us: int, *known: int) -> int:
    """A new incarnation: the time in microseconds, or one more than the highest known where clocks went back."""
    return max(now_us, *(each + 1 for each in known))


def version_of_new_life(version: int) -> int:
    """Where a ledger that was restored at ``version`` goes on; one that never had a commit begins at the beginning."""
    return version + LIVES_APART if version else 0


def _is_behind(ledger: Mark, outside: Mark) -> bool:
    """The mark outside is written after the commit: it may lag behind the ledger, never run ahead of it."""
    return ledger.position < outside.position or (ledger.position == outside.position and ledger.head != outside.head)
