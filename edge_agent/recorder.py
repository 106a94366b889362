"""Check, commit, verdict: the one way by which something that happened becomes a fact of this device.

Whoever waits in the same turn of the loop shares one commit. Checking and committing is one step without an await, so
that of two who want the same item exactly one gets it, and what the others believed is never what the journal says.
"""

import asyncio
from collections import ChainMap, deque
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import structlog

from edge_agent.check import Stock
from edge_agent.clock import Watch
from edge_agent.degraded import Degraded
from edge_agent.errors import JournalCorruptError, Refused, StoreError, StoreFullError
from edge_agent.rights import Rights, needed, opened_by
from edge_agent.store.folder import DataFolder
from edge_agent.store.journal import Journal, Touched
from edge_agent.store.recalls import HeldRecalls
from edge_agent.store.sheets import HeldSheets
from sync_protocol.codec import decode_fact, encode_fact
from sync_protocol.conservation import imbalance
from sync_protocol.degraded import DEFAULT_POLICY, Allowance, Class, Policy
from sync_protocol.facts import Fact, FactId, Moment, What
from sync_protocol.items import Item, State
from sync_protocol.leases import MAY_NEED_RIGHT, spent
from sync_protocol.lifecycle import Refusal, fold, recalled
from sync_protocol.recalls import NO_RECALLS, Recalled

__all__ = ["Recorded", "Recorder", "Refused"]

GROUP = 64
"""Calls that share one commit; past 64 there is nothing to win (performance.md)."""
REMEMBERED = 20
_LAST = (
    "SELECT body FROM fact WHERE NOT EXISTS (SELECT 1 FROM session WHERE number = position >> 32"
    " AND position & 0xffffffff > parted) ORDER BY position DESC LIMIT ?"
)

_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.recorder")


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that are on the disk, the items that they changed as they are now, and what did not fit (``observe``)."""

    ids: tuple[FactId, ...]
    items: tuple[Item, ...]
    refusals: tuple[Refusal, ...] = ()


class _Call(msgspec.Struct, kw_only=True):
    facts: tuple[Fact, ...]
    is_physical: bool
    done: asyncio.Future[Recorded]


class _Staged(msgspec.Struct, kw_only=True):
    """A call that fits, as it will be written."""

    call: _Call
    facts: list[Fact]
    touched: dict[str, Touched]
    refusals: list[Refusal]


class Recorder:
    def __init__(
        self,
        *,
        journal: Journal,
        stock: Stock,
        watch: Watch,
        data: DataFolder,
        rights: Rights,
        location: str,
        device: str,
        policy: Policy = DEFAULT_POLICY,
    ) -> None:
        self._journal = journal
        self.recalls = HeldRecalls(journal)
        """In force in every check, from the first one on (REQ-07)."""
        self.sheets = HeldSheets(journal)
        self.degraded = Degraded(policy, stock)
        self._stock = stock
        self._watch = watch
        self._data = data
        self.rights = rights
        self.location = location
        self.device = device
        self._waiting: deque[_Call] = deque()
        self._is_due = False
        self._listeners: list[Callable[[Sequence[Item]], None]] = []
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.recent_refusals: deque[Refusal] = deque(maxlen=REMEMBERED)

    def moment(self) -> Moment:
        return self._watch.moment()

    def last(self, limit: int) -> list[Fact]:
        """The facts of this device that were written last, oldest first, as far as they are kept."""
        rows = self._journal.query(_LAST, limit)
        return [decode_fact(body) for (body,) in reversed(rows)]

    def listen(self, listener: Callable[[Sequence[Item]], None]) -> None:
        """``listener`` is told of the items changed by every commit, after it."""
        self._listeners.append(listener)

    async def record(self, *facts: Fact) -> Recorded:
        """Write facts that fit, all or nothing. Returns once they are on the disk.

        What this agent may not issue without asking is asked for first (REQ-08).

        Raises Refused if one does not fit, StoreError if the disk did not take them: then nothing counts as recorded.
        """
        if not MAY_NEED_RIGHT.isdisjoint([fact.what for fact in facts]):
            await self.rights.obtain(needed(facts, self._stock.items({code for fact in facts for code in fact.codes})))
        return await self._enqueue(facts, is_physical=False)

    async def observe(self, *facts: Fact) -> Recorded:
        """Write what has physically happened, whether it fits or not; a full disk's reserve is for this.

        Raises StoreError when the disk does not even take that.
        """
        return await self._enqueue(facts, is_physical=True)

    async def watch_journal(self) -> None:
        """Returns never. Raises JournalCorruptError when the journal can no longer be trusted."""
        await asyncio.shield(self._stopped)

    def _enqueue(self, facts: tuple[Fact, ...], *, is_physical: bool) -> asyncio.Future[Recorded]:
        loop = asyncio.get_running_loop()
        call = _Call(facts=facts, is_physical=is_physical, done=loop.create_future())
        self._waiting.append(call)
        self._schedule(loop)
        return call.done

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_due = False
        group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
        if self._waiting:
            self._schedule(asyncio.get_running_loop())
        self._settle([call for call in group if not call.done.cancelled()])

    def _settle(self, group: list[_Call]) -> None:
        """Commit a group and answer everyone in it, whatever happens."""
        try:
            staged = list(self._stage(group))
            if staged:
                self._commit(staged)
        except StoreError as error:
            self._without_space(group, error)
        except Exception as error:  # noqa: BLE001 - task boundary: everyone who waits is told
            if isinstance(error, JournalCorruptError) and not self._stopped.done():
                self._stopped.set_exception(error)
            _fail(group, error)

    def _without_space(self, group: list[_Call], error: StoreError) -> None:
        """The disk did not take the group. What a person asked for is refused; what happened gets the reserve."""
        _log.error("not_recorded", cause=str(error), calls=len(group))
        physical = [call for call in group if call.is_physical and not call.done.done()]
        _fail([call for call in group if not call.is_physical], error)
        if physical and isinstance(error, StoreFullError) and self._data.give_reserve():
            _log.warning("reserve_given", facts=len(physical))
            self._settle(physical)
        else:
            _fail(physical, error)

    def _stage(self, group: list[_Call]) -> Iterator[_Staged]:
        believed = self._stock.items({code for call in group for fact in call.facts for code in fact.codes})
        index, degraded = 0, self.degraded.now()
        for call in group:
            staged = self._check(call, believed, index, degraded)
            if staged.refusals and not call.is_physical:
                self.recent_refusals.extend(staged.refusals)
                call.done.set_exception(Refused(tuple(staged.refusals)))
                continue
            for code, touched in staged.touched.items():
                believed[code] = touched.item
            index += len(staged.facts)
            yield staged

    def _check(
        self, call: _Call, believed: dict[str, Item], index: int, degraded: Mapping[Class, Allowance]
    ) -> _Staged:
        """Fold the call's facts over what this agent's stores and earlier calls of the group say."""
        staged = _Staged(call=call, facts=[], touched={}, refusals=[])
        own: dict[str, Item] = {}
        version, in_force = self._stock.version, self.recalls.in_force or NO_RECALLS
        opened: dict[str, str] = {}
        for position, fact in enumerate(call.facts, index):
            known = ChainMap(own, believed) if own else believed
            if call.is_physical:  # it moves the item whatever a recall says; who is responsible must hear of it
                outcome = fold(fact, known)
                staged.refusals.extend(_recalled(fact, known, in_force))
            else:
                staged.refusals.extend(self.rights.refusals(fact, known, opened))
                outcome = fold(fact, known, in_force)
            stale_s = 0
            if degraded:
                stale_s, too_old = self.degraded.judge(fact, known, degraded)
                staged.refusals.extend(() if call.is_physical else too_old)
            # What was done on paper was done by what was printed there.
            staged.facts.append(_stamped(fact, fact.checked_at if fact.paper else version, stale_s))
            staged.refusals += outcome.refusals
            for item in outcome.items:
                own[item.code] = item
                staged.touched[item.code] = Touched(item=item, index=position)
            if fact.what is What.PRESCANNED:
                _require_balance(outcome.items)
                opened |= opened_by(fact)
        return staged

    def _commit(self, group: Sequence[_Staged]) -> None:
        touched: dict[str, Touched] = {}
        for staged in group:
            touched |= staged.touched
        bodies = [encode_fact(fact) for staged in group for fact in staged.facts]
        facts = [fact for staged in group for fact in staged.facts]
        papers = [(index, fact.paper) for index, fact in enumerate(facts) if fact.paper is not None]
        spending = [spent(fact) for fact in facts]
        ids = self._journal.commit(bodies, touched.values(), self.rights.change_by(spending), papers)
        self.rights.used(spending)
        first = 0
        for staged in group:
            after = first + len(staged.facts)
            items = tuple(change.item for change in staged.touched.values())
            if not staged.call.done.done():
                recorded = Recorded(ids=ids[first:after], items=items, refusals=tuple(staged.refusals))
                staged.call.done.set_result(recorded)
            self.recent_refusals.extend(staged.refusals)
            first = after
        changed = [change.item for change in touched.values()]
        for listener in self._listeners:
            listener(changed)


def _stamped(fact: Fact, version: int, stale_s: int) -> Fact:
    """The fact with the replica version of its check, and the mark of an old one.

    A copy: validating all of it again costs more than the check.
    """
    stamped: Fact = fact.__copy__()  # type: ignore[attr-defined]  # every msgspec.Struct has it
    msgspec.structs.force_setattr(stamped, "checked_at", version)
    if stale_s:
        msgspec.structs.force_setattr(stamped, "stale_s", stale_s)
    return stamped


def _recalled(fact: Fact, known: Mapping[str, Item], recalls: Recalled) -> list[Refusal]:
    if recalls is NO_RECALLS:
        return []
    refusals = (recalled(known.get(code), fact, recalls) for code in fact.codes)
    return [refusal for refusal in refusals if refusal is not None]


def _require_balance(items: Sequence[Item]) -> None:
    """Conservation: an opened box became exactly its units (design.md §4)."""
    for box in items:
        broken = imbalance(box, items) if box.state is State.OPENED else None
        assert broken is None, f"box {box.code} opened into {broken} units"


def _fail(calls: Sequence[_Call], error: Exception) -> None:
    for call in calls:
        if not call.done.done():
            call.done.set_exception(error)
