"""What this agent may issue without asking, for the recorder and for people; and asking, where it may not (REQ-08)."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec
import structlog

from edge_agent.clock import Clock
from edge_agent.store.journal import Journal
from edge_agent.store.leased import LeaseChange
from edge_agent.store.pocket import Note, Pocket
from sync_protocol.facts import Fact, What
from sync_protocol.items import Item
from sync_protocol.leases import MAY_NEED_RIGHT, MOST_HELD, Spent, needs_right
from sync_protocol.lifecycle import Reason, Refusal
from sync_protocol.machines.holding import Holding, Used
from sync_protocol.subcode import sub_codes

_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.rights")
WAIT_S = 3.0
"""How long a person waits for central's word; after that it is offline for this step."""


class LeaseState(msgspec.Struct, frozen=True, kw_only=True):
    """``items`` may be issued for ``left_s`` seconds; None: not before central has said so to this start."""

    items: int
    left_s: float | None


class Rights:
    def __init__(self, holding: Holding, now_us: Callable[[], int], note: Callable[[int], None] | None = None) -> None:
        """``note`` is told the deadline whenever the lease or the journal changed."""
        self.holding = holding
        self._note = note
        self._now_us = now_us
        self._want: Callable[[tuple[str, ...]], None] | None = None
        self._changed = asyncio.Event()
        self._withheld: set[str] = set()
        self._asked: dict[str, None] = {}
        """What those who wait in this turn of the loop want: one question for all."""

    def ask_by(self, want: Callable[[tuple[str, ...]], None]) -> None:
        """How central is asked."""
        self._want = want

    def state(self) -> LeaseState:
        deadline_us = self.holding.deadline_us
        left_s = None if deadline_us is None else max(0.0, (deadline_us - self._now_us()) / 1e6)
        return LeaseState(items=self.holding.count, left_s=left_s)

    def may_issue(self, codes: Iterable[str]) -> bool:
        now_us = self._now_us()
        return all(self.holding.may_issue(code, now_us) for code in codes)

    def refusals(self, fact: Fact, items: Mapping[str, Item], opened: Mapping[str, str]) -> list[Refusal]:
        """Codes that another agent may be issuing. ``opened``: units made by facts before this one, by their box."""
        if fact.is_provisional or fact.what not in MAY_NEED_RIGHT:
            return []
        now_us = self._now_us()
        return [
            self._refusal(fact, items[code])
            for code in fact.codes
            if needs_right(fact, items.get(code)) and not self.holding.may_issue(opened.get(code, code), now_us)
        ]

    async def obtain(self, codes: Collection[str]) -> bool:
        """Ask central for what is not held. Whether all of it may be issued now."""
        if self._want is None:
            return not self._missing(codes)
        if not self._missing(codes):
            return True
        self._withheld.clear()
        try:
            async with asyncio.timeout(WAIT_S):
                while missing := self._to_ask_for(codes):
                    self._changed.clear()
                    self._ask(missing)
                    await self._changed.wait()
        except TimeoutError:
            return False
        return not self._missing(codes)

    def noted(self) -> None:
        """The journal or the lease has changed."""
        if self._note is not None:
            self._note(self.holding.deadline_us or 0)

    def changed(self, withheld: Iterable[str] = ()) -> None:
        """Central has granted something, or said who has what."""
        self._withheld.update(withheld)
        self._changed.set()

    def change_by(self, spending: Iterable[Spent]) -> LeaseChange:
        """What facts that are about to be written do to the lease."""
        added: set[str] = set()
        removed: list[str] = []
        for what in spending:
            for box, units in what.opened:
                if self.holding.has(box):
                    removed.append(box)
                    added.update(units)
            removed += [code for code in what.ended if code in added or self.holding.has(code)]
            added.difference_update(what.ended)
        return LeaseChange(added=tuple(sorted(added)), removed=tuple(removed))

    def used(self, spending: Iterable[Spent]) -> None:
        """These are written."""
        ended: list[str] = []
        for what in spending:
            ended += what.ended
            if what.opened:
                self.holding.handle(Used(ended=tuple(ended), opened=what.opened))
                ended.clear()
        if ended:
            self.holding.handle(Used(ended=tuple(ended)))
        self.noted()

    def _to_ask_for(self, codes: Iterable[str]) -> list[str]:
        """Nothing while central cannot be asked, and not what it has just said another has."""
        if not self.holding.is_welcome:
            return []
        return [code for code in self._missing(codes) if code not in self._withheld]

    def _ask(self, codes: Iterable[str]) -> None:
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._ask_now)
        self._asked.update(dict.fromkeys(codes))

    def _ask_now(self) -> None:
        asked = tuple(self._asked)
        self._asked.clear()
        for first in range(0, len(asked), MOST_HELD):
            if self._want is not None:
                self._want(asked[first : first + MOST_HELD])

    def _missing(self, codes: Iterable[str]) -> list[str]:
        now_us = self._now_us()
        return [code for code in codes if not self.holding.may_issue(code, now_us)]

    def _refusal(self, fact: Fact, item: Item) -> Refusal:
        holder = self.holding.holder(item.code)
        reason = Reason.LEASED if holder else Reason.NOT_LEASED
        return Refusal(code=item.code, what=fact.what, reason=reason, state=item.state, found=holder)


def build_rights(journal: Journal, pocket: Pocket, clock: Clock) -> Rights:
    """What the last process was granted goes on if it is certain that this one follows it (``pocket``)."""
    session = journal.start.session
    note, parent = pocket.read(), journal.lines.get(journal.start.parent_session)
    is_next = (
        note is not None
        and parent is not None
        and (note.session, note.changes) == (journal.start.parent_session, journal.lease_changes)
        and note.seq <= parent.head
    )
    deadline_us = note.deadline_us if note is not None and is_next and note.deadline_us else None
    granted_by, codes = journal.leased()

    def tell(deadline_us: int) -> None:
        try:
            pocket.write(
                Note(session=session, seq=journal.head, changes=journal.lease_changes, deadline_us=deadline_us)
            )
        except OSError as error:  # then the next process waits for central's word
            _log.warning("pocket_not_written", path=str(pocket.path), error=str(error))

    holding = Holding(session, codes, incarnation=granted_by, spoken_to=journal.incarnation, deadline_us=deadline_us)
    rights = Rights(holding, clock.mono_us, tell)
    rights.noted()
    return rights


def needed(facts: Iterable[Fact], items: Mapping[str, Item]) -> set[str]:
    """Codes that must be held for these facts; a box stands for the units that they make of it."""
    opened: dict[str, str] = {}
    codes: set[str] = set()
    for fact in facts:
        if fact.what is What.PRESCANNED:
            opened |= opened_by(fact)
        elif not fact.is_provisional:
            codes.update(
                opened.get(code, code) for code in fact.codes if needs_right(fact, items.get(opened.get(code, code)))
            )
    return codes


def opened_by(fact: Fact) -> dict[str, str]:
    """The units that a pre-scan makes, each with its box."""
    return {unit: box for box in fact.codes for unit in sub_codes(box, fact.units)}
