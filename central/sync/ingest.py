"""Facts into the ledger: what waits in the inbox is admitted, folded and committed together, then answered.

REQ-01: an ack is read from the ledger after the commit, so none can be sent for what is not there. A batch that is
not acked is sent again by its agent, so every failure here ends in silence towards the agent and words to a person.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import structlog
import tenacity

from central.errors import BusyError, ConservationError
from central.ledger.session_rows import Reach, read_hash, read_reach
from central.ledger.write import Ledger
from central.sync.agents import Agents
from central.sync.appending import append_some, enter_early
from central.sync.comparing import Comparing
from central.sync.early import Early
from central.sync.gate import Gate
from central.sync.gate import Heard as Opened
from central.sync.greeting import Greeting
from central.sync.inbox import Inbox, Letter
from central.sync.leases import Leases
from central.sync.lineage import Heard
from central.sync.publish import Publisher
from central.sync.recalls import RecallLane
from central.sync.verdicts import read_verdicts
from sync_protocol.chain import SessionStart
from sync_protocol.machines.ingest import Admission
from sync_protocol.messages import (
    Ack,
    Ask,
    AskBucket,
    AskRecalls,
    Batch,
    Digest,
    Hello,
    Holds,
    Mended,
    Parted,
    Pull,
    Verdict,
)
from sync_protocol.recalls import SignedRecalls

COALESCED = 32
"""Letters taken together: every commit is told to every agent, so that fewer are less to do for all."""
_TRIES = 5
_FOR_ANYBODY = (AskRecalls, Pull, SignedRecalls)
"""What the recall lane answers though it may be said again: questions do no harm, and a set is signed itself.

A machine that was woken from a snapshot says old numbers, and must hear of recalls all the same.
"""
_ASK_VENDOR = "keep the agent's data folder as it is and call the administrator of central"

_log = structlog.get_logger("central.ingest")


class Ingest:
    """``stuck``: devices whose facts central cannot take, with the cause; a person must look."""

    def __init__(
        self,
        ledger: Ledger,
        inbox: Inbox,
        publisher: Publisher,
        agents: Agents,
        greeting: Greeting,
        *,
        recalls: RecallLane,
        gate: Gate,
        early: Early,
        leases: Leases,
        comparing: Comparing | None = None,
        pulled: Callable[[str, Pull], None] | None = None,
    ) -> None:
        """``pulled``: who answers pulls in their turn; they are answered at once if nobody does."""
        self.stuck: dict[str, str] = {}
        self._ledger = ledger
        self._inbox = inbox
        self._publisher = publisher
        self._agents = agents
        self._greeting = greeting
        self._recalls = recalls
        self._gate = gate
        self._early = early
        self._leases = leases
        self._comparing = comparing
        self._pulled = pulled or publisher.answer
        self._parted: set[bytes] = set()
        """Sessions whose agent was told where its history parts from the ledger's: what it sent past that is void."""

    async def run(self) -> None:
        """Take letters until cancelled."""
        while True:
            is_anything_due = self._early.ready() is not None
            letters = self._inbox.take_now(COALESCED) if is_anything_due else await self._inbox.take(COALESCED)
            await self.take(letters)
            self.let_in()
            await asyncio.sleep(0)  # a commit does not give up the loop: pages and calls get their turn here

    async def take(self, letters: Iterable[Letter]) -> None:
        """Commit all batches among the letters, then answer each letter."""
        heard = [opened for letter in letters if (opened := self._gate.open(letter)) is not None]
        await self._recalls.take(
            [(one.device, one.message) for one in heard if one.is_news or isinstance(one.message, _FOR_ANYBODY)]
        )
        batches = [one.message for one in heard if isinstance(one.message, Batch) and self._is_meant(one.message)]
        before = {batch.start.device: self._agents.before(batch.start.device) for batch in batches}
        greeting = {one.device for one in heard if isinstance(one.message, Hello)}
        self._note([one for one in heard if one.device not in greeting])
        if batches:
            await self._commit(batches, before)
        self._greeting.greet(heard)
        self._note([one for one in heard if one.device in greeting])  # a HELLO is judged by what was said before it
        for one in heard:
            self._reply(one)

    def _note(self, heard: Iterable[Opened]) -> None:
        """How far sessions were written, as batches say, for whichever life of the ledger they are meant."""
        for one in heard:
            if isinstance(one.message, Batch):
                self._agents.sent(one.device, one.message, is_news=one.is_news)

    def _reply(self, one: Opened) -> None:
        match one.message:
            case Pull():
                if one.is_news:
                    self._agents.pulled(one.device, one.message.after, one.message.incarnation)
                self._pulled(one.device, one.message)
            case Holds() | Ask():
                if one.is_news:
                    self._lease(one.device, one.message)
            case Digest() | AskBucket() | Mended():
                if one.is_news and self._comparing is not None:
                    self._agents.heard(one.device)
                    self._comparing.take(one.device, one.message)
            case Batch() if not self._is_meant(one.message):
                self._publisher.introduce(one.device)
            case _:
                pass  # answered together with the others of its kind

    def _lease(self, device: str, message: Holds | Ask) -> None:
        try:
            if isinstance(message, Holds):
                self._leases.stated(device, message)
            else:
                self._leases.asked(device, message)
        except BusyError as error:
            _log.error("lease not answered, the agent says it again", device=device, cause=error.cause)

    def _is_meant(self, batch: Batch) -> bool:
        """Whether it was sent to this life of the ledger (REQ-03)."""
        return batch.incarnation in {0, self._ledger.incarnation}

    async def _commit(self, batches: list[Batch], before: Mapping[str, Heard]) -> None:
        """In several commits if need be, each answered as soon as it is done."""
        waiting = batches
        while waiting:
            try:
                left, refused = await self._append(waiting, before)
            except BusyError as error:
                cause, count = error.cause, len(waiting)
                _log.error("facts not taken, their agents will send them again", cause=cause, batches=count)
                return
            except ConservationError as error:
                if len(waiting) > 1:
                    for batch in waiting:  # nobody waits for the one that cannot be
                        await self._commit([batch], before)
                else:
                    self._give_up(waiting[0].start.device, error)
                return
            taken = waiting[: len(waiting) - len(left)]
            self._acknowledge([batch for batch in taken if batch.start.session not in refused])
            await asyncio.sleep(0)
            waiting = left

    def _give_up(self, device: str, error: ConservationError) -> None:
        _log.critical("facts would not add up, commit rolled back", cause=str(error))
        self.stuck[device] = str(error)
        self._publisher.refuse(device, f"the ledger would not add up with these facts: {error}", _ASK_VENDOR)

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(BusyError),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2.0),
        stop=tenacity.stop_after_attempt(_TRIES),
        reraise=True,
    )
    async def _append(self, batches: list[Batch], before: Mapping[str, Heard]) -> tuple[list[Batch], set[bytes]]:
        """One commit of whole facts: the batches that it had no room for, and sessions of which nothing was taken.

        Raises BusyError, ConservationError.
        """
        waiting = deque(batches)
        try:
            conflicts = self._ledger.commit(lambda of: append_some(of, waiting, before, self._early, self._parted))
        except (BusyError, ConservationError):
            self._early.rolled_back()
            raise
        for start, admission in conflicts:
            self._contradict(start, admission)
        return list(waiting), {start.session for start, _ in conflicts}

    def _contradict(self, start: SessionStart, admission: Admission) -> None:
        device, session = start.device, start.session
        if admission.common is not None:
            seq, digest = admission.common
            _log.error("two histories of one session", device=device, session=session.hex(), common=seq)
            self._parted.add(session)
            self._agents.parted(device, session)
            parted = Parted(session=session, seq=seq, hash=digest, incarnation=self._ledger.incarnation)
            self._publisher.tell(device, parted)
        elif session not in self._parted:
            self.stuck[device] = admission.conflict
            cause = f"the chain of this agent's facts cannot be true: {admission.conflict}"
            self._publisher.refuse(device, cause, _ASK_VENDOR)

    def _acknowledge(self, batches: list[Batch]) -> None:
        spans: dict[bytes, tuple[str, int, int]] = {}
        for batch in batches:
            device, first, last = spans.get(batch.start.session, (batch.start.device, batch.first_seq, 0))
            spans[batch.start.session] = (device, min(first, batch.first_seq), max(last, batch.last_seq))
        self._answer(spans)

    def tell(self, device: str, session: bytes) -> None:
        """Say how far the ledger and its backups have a session."""
        reach = read_reach(self._ledger.connection, [session])[session]
        self._publisher.tell(device, self._ack(session, reach, reach.through))

    def _ack(self, session: bytes, reach: Reach, last: int, exceptions: tuple[Verdict, ...] = ()) -> Ack:
        """``last``: as far as the agent is known to have it."""
        at = min(reach.through, last)
        return Ack(
            session=session,
            through=reach.through,
            version=self._ledger.version,
            incarnation=self._ledger.incarnation,
            exceptions=exceptions,
            safe=reach.safe,
            recall_version=self._recalls.version,
            credit=self._inbox.credit,
            held=self._early.through(session),
            at=at,
            hash=reach.head if at == reach.through else read_hash(self._ledger.connection, session, at),
        )

    def _answer(self, spans: Mapping[bytes, tuple[str, int, int]]) -> None:
        """What the ledger has of sessions, with its verdicts on facts of theirs: of a device, from one to another."""
        connection = self._ledger.connection
        reaches = read_reach(connection, spans)
        asked = [(session, first, min(last, reaches[session].through)) for session, (_, first, last) in spans.items()]
        verdicts = read_verdicts(connection, asked)
        for session, (device, _, last) in spans.items():
            reach = reaches[session]
            if reach.through >= last:
                self.stuck.pop(device, None)
            self._publisher.tell(device, self._ack(session, reach, last, verdicts.get(session, ())))
            self._agents.committed(device, session, reach.through)

    def let_in(self) -> None:
        """Let early facts into the ledger, a slice of them, if what they waited for is there."""
        session = self._early.ready()
        if session is None:
            return
        device = self._early.held[session].start.device
        try:
            first, last = self._ledger.commit(lambda transaction: enter_early(transaction, self._early, session))
        except BusyError as error:
            self._early.rolled_back()
            _log.error("early facts wait on", device=device, cause=error.cause)
        except ConservationError as error:
            self._early.rolled_back()
            self._early.give_up(session)
            _log.critical("early facts would not add up, commit rolled back", device=device, cause=str(error))
            self.stuck[device] = str(error)
        else:
            self._answer({session: (device, first, last)})
