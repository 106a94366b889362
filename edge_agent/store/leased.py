"""What of a lease is left, in the journal: it changes in the transaction of the facts that use it (REQ-08)."""

from collections.abc import Sequence
from typing import Any

import msgspec

LEASED = "SELECT code FROM leased ORDER BY code"
_LEASE = "INSERT OR REPLACE INTO leased(code) VALUES (?)"
_UNLEASE = "DELETE FROM leased WHERE code = ?"
_UNLEASE_ALL = "DELETE FROM leased"
_LEASED_BY = "INSERT OR REPLACE INTO setting(name, value) VALUES ('leased_by', ?), ('lease_changes', ?)"
Statement = tuple[str, Sequence[tuple[Any, ...]]]


class LeaseChange(msgspec.Struct, frozen=True, kw_only=True):
    """Codes that this agent may issue from now on, and codes that it may not any more."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


NO_CHANGE = LeaseChange()


def changing(change: LeaseChange) -> list[Statement]:
    """What is written with the facts that do this to the lease."""
    pairs = ((_UNLEASE, change.removed), (_LEASE, change.added))
    return [(statement, [(code,) for code in codes]) for statement, codes in pairs if codes]


def keeping(change: LeaseChange, *, incarnation: int, changes: int, is_whole: bool) -> list[Statement]:
    """What is written when central has granted, or something is given back; ``changes``: how often that was."""
    cleared: list[Statement] = [(_UNLEASE_ALL, [()])] if is_whole else []
    return [*cleared, *changing(change), (_LEASED_BY, [(str(incarnation), str(changes))])]
