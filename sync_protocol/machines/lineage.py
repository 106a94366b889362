"""Central's judgement of a session that it never heard of: does it follow from what its device wrote before?

Two children of one parent, or a child of a fact that is not the parent's last, prove that a disk was set back or that a
computer was copied. A session without a parent, of a device with a past, proves that its journal is gone (REQ-04).
Facts that a device told of and that nobody holds any more are lost: they are counted, never guessed away.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from sync_protocol.chain import SessionStart


class Finding(StrEnum):
    """What is wrong; the names are reasons of the work list."""

    FORKED = "session_fork"
    ROLLED_BACK = "journal_restored"
    LOST = "journal_lost"


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What central knows of a device besides the session in question.

    ``parent``: of the session that the new one names how far the ledger has it, and the hash there of the fact that the
    new one follows, or of the last before it; None if it is unknown.
    ``siblings``: other sessions that name the same parent; ``children``: those that name the one in question;
    ``roots``: other sessions of the device that name none. ``is_held``: the journal that said HELLO last, and was
    judged then, has this session too. ``is_beside``: neither the session that said HELLO last nor the one in question
    follows the other.
    ``heads``: what the device said it had written, by session, as last heard; ``through``: what of these is committed.
    """

    is_known: bool
    parent: tuple[int, bytes] | None = None
    siblings: int = 0
    children: int = 0
    roots: int = 0
    is_held: bool = False
    is_beside: bool = False
    heads: Mapping[bytes, int] = {}
    through: Mapping[bytes, int] = {}


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """``beyond``: facts that the ledger has and the journal has not. ``lost``: facts told of that neither has."""

    finding: Finding
    beyond: int = 0
    lost: int = 0


def judge(start: SessionStart, held: Mapping[bytes, int], past: Past) -> Judgement | None:
    """None if the session may follow. ``held``: how far the journal goes in sessions that it still has to send."""
    # One that is held, or that a known session follows, comes late, and its journal has gone on since: what is lost is
    # counted with the next new one.
    is_late = past.is_held or past.children > 0
    lost = 0 if is_late else _lost(start, held, past)
    if not start.parent_session:
        # What comes late is no beginning anew, it is the first; but a journal begins once.
        is_anew = past.roots or (past.is_known and not is_late)
        return Judgement(finding=Finding.LOST, lost=lost) if is_anew else None
    if past.parent is not None:
        through, digest = past.parent
        beyond = max(0, through - start.parent_seq)
        if through >= start.parent_seq and digest != start.parent_hash:
            # Woken from a snapshot, it wrote under numbers that the ledger has for other facts.
            return Judgement(finding=Finding.FORKED, beyond=beyond, lost=lost)
        if beyond:
            return Judgement(finding=Finding.ROLLED_BACK, beyond=beyond, lost=lost)
    if past.siblings or past.is_beside:
        return Judgement(finding=Finding.FORKED, lost=lost)
    return Judgement(finding=Finding.ROLLED_BACK, lost=lost) if lost else None


def _lost(start: SessionStart, held: Mapping[bytes, int], past: Past) -> int:
    here = dict(held)
    if start.parent_session:
        here[start.parent_session] = max(start.parent_seq, here.get(start.parent_session, 0))
    return sum(
        max(0, head - max(past.through.get(session, 0), here.get(session, 0))) for session, head in past.heads.items()
    )
