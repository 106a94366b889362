"""Facts into the ledger: what waits in the inbox is admitted, folded and committed together, then answered.

REQ-01: an ack is read from the ledger after the commit, so none can be sent for what is not there. A batch that is
not acked is sent again by its agent, so every failure here ends in silence towards the agent and words to a person.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial

import structlog
import tenacity

from central.errors import BusyError, ConservationError
from central.ledger import statements
from central.ledger.reading import fits_integer
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.sync.agents import Agents
from central.sync.greeting import Greeting, read_position
from central.sync.lineage import Heard, compare_children, register
from central.sync.link import Letter
from central.sync.publish import Publisher
from central.sync.verdicts import read_verdicts
from sync_protocol.chain import SessionStart
from sync_protocol.codec import decode_up
from sync_protocol.errors import ProtocolError
from sync_protocol.machines.ingest import admit
from sync_protocol.messages import Ack, Batch, Hello, Pull, Refused, Up

COALESCED = 16
"""Letters taken together: past it a larger commit saves nothing and only makes others wait."""
BUDGET = 10_000
"""Rows that one commit changes, about: it must fit a delta."""
_TRIES = 5
_ASK_VENDOR = "keep the agent's data folder as it is and call the administrator of central"

_log = structlog.get_logger("central.ingest")


class Ingest:
    """``stuck``: devices whose facts central cannot take, with the cause; a person must look."""

    def __init__(
        self, ledger: Ledger, inbox: asyncio.Queue[Letter], publisher: Publisher, agents: Agents, greeting: Greeting
    ) -> None:
        self.stuck: dict[str, str] = {}
        self._ledger = ledger
        self._inbox = inbox
        self._publisher = publisher
        self._agents = agents
        self._greeting = greeting

    async def run(self) -> None:
        """Take letters until cancelled."""
        while True:
            letters = [await self._inbox.get()]
            while len(letters) < COALESCED and not self._inbox.empty():
                letters.append(self._inbox.get_nowait())
            await self.take(letters)
            await asyncio.sleep(0)  # a commit does not give up the loop: pages and calls get their turn here

    async def take(self, letters: Iterable[Letter]) -> None:
        """Commit all batches among the letters, then answer each letter."""
        read = [(letter.device, message) for letter in letters if (message := self._read(letter)) is not None]
        batches = [message for _, message in read if isinstance(message, Batch) and self._is_meant(message)]
        before = {batch.start.device: self._agents.before(batch.start.device) for batch in batches}
        for batch in batches:
            self._agents.sent(batch.start.device, batch)
        if batches:
            await self._commit(batches, before)
        for device, message in read:
            match message:
                case Hello():
                    self._greeting.greet(device, message)
                case Pull():
                    self._agents.pulled(device, message.after, message.incarnation)
                    self._publisher.answer(device, message)
                case Batch() if not self._is_meant(message):
                    self._publisher.introduce(device)
                case Batch():
                    pass  # answered by session, once for all its batches

    def _is_meant(self, batch: Batch) -> bool:
        """Whether it was sent to this life of the ledger (REQ-03)."""
        return batch.incarnation in {0, self._ledger.incarnation}

    def _read(self, letter: Letter) -> Up | None:
        try:
            message = decode_up(letter.data)
        except ProtocolError as error:
            _log.warning("letter cannot be read", device=letter.device, cause=str(error))
            self._refuse(letter.device, f"central cannot read the message: {error}", "update the older side")
            return None
        cause = _flaw(letter.device, message)
        if cause:
            self._refuse(letter.device, cause, _ASK_VENDOR)
            return None
        return message

    async def _commit(self, batches: list[Batch], before: Mapping[str, Heard]) -> None:
        try:
            refused = await self._append(batches, before)
        except BusyError as error:
            _log.error("facts not taken, their agents will send them again", cause=error.cause, batches=len(batches))
            return
        except ConservationError as error:
            if len(batches) > 1:
                for batch in batches:  # nobody waits for the one that cannot be
                    await self._commit([batch], before)
                return
            _log.critical("facts would not add up, commit rolled back", cause=str(error))
            device = batches[0].start.device
            self.stuck[device] = str(error)
            self._refuse(device, f"the ledger would not add up with these facts: {error}", _ASK_VENDOR)
            return
        self._acknowledge([batch for batch in batches if batch.start.session not in refused])

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(BusyError),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2.0),
        stop=tenacity.stop_after_attempt(_TRIES),
        reraise=True,
    )
    async def _append(self, batches: list[Batch], before: Mapping[str, Heard]) -> set[bytes]:
        """Sessions of which nothing was taken. Several commits if need be, each of whole facts.

        Raises BusyError, ConservationError.
        """
        waiting, refused = deque(batches), set()
        while waiting:
            conflicts = self._ledger.commit(lambda transaction: _append_some(transaction, waiting, before))
            for start, cause in conflicts:
                refused.add(start.session)
                self.stuck[start.device] = cause
                self._refuse(start.device, f"the chain of this agent's facts cannot be true: {cause}", _ASK_VENDOR)
        return refused

    def _acknowledge(self, batches: list[Batch]) -> None:
        spans: dict[bytes, tuple[str, int, int]] = {}
        for batch in batches:
            device, first, last = spans.get(batch.start.session, (batch.start.device, batch.first_seq, 0))
            spans[batch.start.session] = (device, min(first, batch.first_seq), max(last, batch.last_seq))
        for session, (device, first, last) in spans.items():
            through, safe = read_position(self._ledger, session)
            if through >= last:
                self.stuck.pop(device, None)
            verdicts = read_verdicts(self._ledger.connection, session, first, min(last, through))
            ack = Ack(
                session=session,
                through=through,
                version=self._ledger.version,
                exceptions=verdicts,
                incarnation=self._ledger.incarnation,
                safe=safe,
            )
            self._publisher.tell(device, ack)
            self._agents.committed(device, session, through)

    def _refuse(self, device: str, cause: str, advice: str) -> None:
        self._publisher.tell(device, Refused(cause=cause, advice=advice))


def _append_some(
    transaction: Transaction, waiting: deque[Batch], before: Mapping[str, Heard]
) -> list[tuple[SessionStart, str]]:
    """Append batches from the front until the budget is spent; leave the rest. Returns chains that cannot be true."""
    grown: dict[bytes, int] = {}
    conflicts = _append_batches(transaction, waiting, before, grown)
    for session, through in grown.items():
        compare_children(transaction, session, after=through)
    return conflicts


def _append_batches(
    transaction: Transaction, waiting: deque[Batch], before: Mapping[str, Heard], grown: dict[bytes, int]
) -> list[tuple[SessionStart, str]]:
    """``grown``: filled with the sessions that got facts, and how far each was before."""
    conflicts = []
    while waiting and transaction.size < BUDGET:
        batch = waiting[0]
        committed = transaction.session(batch.start.session)
        admission = admit(batch, committed, partial(_hash_of, transaction, batch.start.session))
        if admission.conflict:
            conflicts.append((batch.start, admission.conflict))
            _raise_once(transaction, batch.start, admission.conflict)
        elif admission.facts:
            if committed is None:
                register(transaction, batch.start, {}, before[batch.start.device])
            grown.setdefault(batch.start.session, committed.through if committed else 0)
            if transaction.append(batch.start, admission.facts, budget=BUDGET) < len(admission.facts):
                return conflicts
        waiting.popleft()
    return conflicts


def _raise_once(transaction: Transaction, start: SessionStart, found: str) -> None:
    """The agent sends it again and again: one line on the work list is enough."""
    if not transaction.select(statements.SAME_CONFLICT, (start.session, found)):
        transaction.raise_misfit(start, reason="chain_conflict", found=found, expected="the chain in the ledger")


def _hash_of(transaction: Transaction, session: bytes, seq: int) -> bytes | None:
    rows = transaction.select(statements.HASH_OF, (session, seq))
    return rows[0][0] if rows else None


def _flaw(device: str, message: Up) -> str:
    """What no honest agent sends: another device's name, numbers that no ledger has."""
    match message:
        case Pull():
            return "" if fits_integer(message.after, message.incarnation) else f"pull after {message.after}"
        case Hello():
            heads = [position.through for position in (*message.heads, *message.pending)]
            numbers = (message.replica_version, message.schema, message.sent_us, message.incarnation)
            return _flaw_of(device, message.start, *numbers, *heads)
        case Batch():
            if message.first_seq < 1 or not message.bodies:
                return f"batch from fact {message.first_seq} with {len(message.bodies)} facts"
            return _flaw_of(device, message.start, message.first_seq, message.incarnation)
        case _:
            return ""


def _flaw_of(device: str, start: SessionStart, *numbers: int) -> str:
    if start.device != device:
        return f"topic of device {device}, message of device {start.device}"
    return "" if fits_integer(start.parent_seq, start.started_us, *numbers) else "a number beyond 63 bits"
