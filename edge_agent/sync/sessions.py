"""The journal's sessions, as the uplink machine is told of them and asks for them."""

from collections.abc import Callable

import structlog

from edge_agent.clock import Watch
from edge_agent.store.journal import Journal
from edge_agent.store.outgoing import is_strange, kept_lines, read_batch
from sync_protocol.facts import FactId
from sync_protocol.machines import uplink_events as on
from sync_protocol.messages import Ack, Batch, Hello, Parted, Welcome

_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.sync")


class Sessions:
    """Every method raises StoreError or JournalCorruptError."""

    def __init__(self, journal: Journal, watch: Watch, fresh: Callable[[], bytes]) -> None:
        self._journal = journal
        self._watch = watch
        self._fresh = fresh

    def welcomed(self, welcome: Welcome) -> on.Welcomed:
        """Central's positions, and which of them are of other facts than the journal's."""
        told = welcome.positions
        strange = (one.session for one in told if is_strange(self._journal, one.session, one.at, one.hash))
        return on.Welcomed(welcome=welcome, now_us=self._now_us(), strange=frozenset(strange))

    def acked(self, ack: Ack) -> on.Acked:
        is_other = is_strange(self._journal, ack.session, ack.at, ack.hash)
        return on.Acked(ack=ack, now_us=self._now_us(), is_strange=is_other)

    def parted(self, parted: Parted) -> on.Parted | None:
        """None for an old answer, about what the journal has not."""
        line = self._journal.lines.get(parted.session)
        if line is None or is_strange(self._journal, parted.session, parted.seq, parted.hash):
            return None
        return on.Parted(
            session=parted.session, through=parted.seq, incarnation=parted.incarnation, now_us=self._now_us()
        )

    def hello(self, effect: on.SendHello) -> Hello:
        """What there is to say of the journal."""
        start, head = self._journal.start, self._journal.head
        return Hello(
            start=start,
            head=FactId(device=start.device, session=start.session, seq=head) if head else None,
            head_hash=self._journal.head_hash,
            pending=effect.pending,
            heads=effect.heads,
            replica_version=0,
        )

    def batch(self, effect: on.SendBatch) -> Batch:
        return read_batch(
            self._journal, effect.session, after=effect.after, limit=effect.limit, is_early=effect.is_early
        )

    def head(self) -> on.Committed:
        """How far the present session is written."""
        session = self._journal.start.session
        return on.Committed(session=session, through=self._journal.head, now_us=self._now_us())

    def open(self) -> on.Opened:
        session, closed = self._fresh(), self._journal.head
        self._journal.open_session(session, started_us=self._watch.clock.wall_us())
        _log.info("session_opened", number=self._journal.current.number)
        return on.Opened(session=session, closed=closed, now_us=self._now_us())

    def write_again(self, effect: on.WriteAgain) -> on.WrittenAgain:
        """REQ-04: central has other facts under the numbers of these."""
        count = self._journal.lines[effect.session].end - effect.through
        _log.error("two_histories_of_one_session", common=effect.through, facts_written_again=count)
        line = self._journal.write_again(effect.session, effect.through)
        return on.WrittenAgain(
            session=effect.session,
            through=effect.through,
            to=line.start.session,
            head=line.head,
            now_us=self._now_us(),
        )

    def adopt(self, incarnation: int) -> on.Adopted:
        """REQ-03: central was restored; nothing that it acked before counts, and all kept here is offered again."""
        _log.warning("incarnation_adopted", before=self._journal.incarnation, now=incarnation)
        self._journal.adopt(incarnation)
        return on.Adopted(incarnation=incarnation, lines=tuple(kept_lines(self._journal)), now_us=self._now_us())

    def _now_us(self) -> int:
        return self._watch.clock.mono_us()
