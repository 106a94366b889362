"""Mutants of central: what it admits, when it acks, what becomes of what does not fit."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from central.ledger import transaction as commits
from central.ledger.session_rows import Reach, read_reach
from central.ledger.transaction import Transaction
from central.sync import appending, early, inbox, ingest, lineage
from central.sync.greeting import Greeting
from central.sync.inbox import Letter
from central.sync.ingest import Ingest
from sync_protocol import envelope, lifecycle
from sync_protocol.chain import SessionStart, Stretch, stretch
from sync_protocol.codec import decode_up
from sync_protocol.facts import Fact, What
from sync_protocol.items import Item, State
from sync_protocol.lifecycle import MOVES, Outcome, fold, units_of
from sync_protocol.machines import ingest as ingest_machine
from sync_protocol.machines.ingest import Admission, SessionState, admit, begin
from sync_protocol.machines.lineage import Judgement, Past, judge
from sync_protocol.messages import Ack, Batch, Position
from tests.simulation import dict_transaction
from tests.simulation.dict_ledger import DictLedger
from tests.simulation.dict_transaction import DictTransaction
from tests.simulation.mutant import Mutant
from tests.simulation.signing import SUITE


def _sealed(batch: Batch, state: SessionState, *, after: int) -> Admission:
    """The facts of a batch past ``after``, sealed onto whatever the batch says."""
    whole = stretch(batch.start, batch.first_seq, batch.previous_hash, batch.bodies)
    known = max(0, after + 1 - batch.first_seq)
    facts = Stretch(
        start=batch.start,
        first_seq=batch.first_seq + known,
        bodies=whole.bodies[known:],
        hashes=whole.hashes[known:],
    )
    through = max(state.through, batch.last_seq)
    return Admission(facts=facts, state=SessionState(start=state.start, through=through, head=whole.hashes[-1]))


_Stored = Callable[[int], bytes | None]


def _admit_again(batch: Batch, committed: SessionState | None, stored: _Stored) -> Admission:
    state = committed or begin(batch.start)
    return _sealed(batch, state, after=0) if batch.first_seq <= state.through + 1 else admit(batch, committed, stored)


def _admit_gap(batch: Batch, committed: SessionState | None, _stored: _Stored) -> Admission:
    state = committed or begin(batch.start)
    return _sealed(batch, state, after=state.through)


def _admit_fork(batch: Batch, committed: SessionState | None, stored: _Stored) -> Admission:
    """Goes by numbers alone."""
    state = committed or begin(batch.start)
    if batch.first_seq > state.through + 1 or batch.last_seq <= state.through:
        return admit(batch, committed, stored)
    return _sealed(batch, state, after=state.through)


_take = Ingest.take


def _own_ack(taking: Ingest, session: bytes) -> Ack:
    """What the shipping code would say."""
    reach = read_reach(taking._ledger.connection, [session])[session]
    return taking._ack(session, reach, reach.through)


def _ack(taking: Ingest, session: bytes, through: int, *, ahead: int = 0) -> Ack:
    version = taking._ledger.version + ahead
    return msgspec.structs.replace(_own_ack(taking, session), through=through, version=version, at=-1, hash=b"")


async def _ack_first(taking: Ingest, letters: Iterable[Letter]) -> None:
    letters = list(letters)
    for letter in letters:
        message = decode_up(envelope.read(letter.data).message)
        if not isinstance(message, Batch):
            continue
        session = message.start.session
        through = _own_ack(taking, session).through
        if message.first_seq <= through + 1:
            taking._publisher.tell(letter.device, _ack(taking, session, message.last_seq, ahead=1))
    await _take(taking, letters)


def _ack_highest(taking: Ingest, batches: list[Batch]) -> None:
    for batch in batches:
        taking._publisher.tell(batch.start.device, _ack(taking, batch.start.session, batch.last_seq))


_acknowledge = Ingest._acknowledge


def _ack_without_exceptions(taking: Ingest, batches: list[Batch]) -> None:
    """Waits with the ack until a person has looked at what did not fit."""
    refused = {row[0].session for row in taking._ledger.connection.misfits.values()}  # type: ignore[attr-defined]
    _acknowledge(taking, [batch for batch in batches if batch.start.session not in refused])


def _ack_old_version(taking: Ingest, batches: list[Batch]) -> None:
    for batch in batches:
        session = batch.start.session
        through = _own_ack(taking, session).through
        taking._publisher.tell(batch.start.device, msgspec.structs.replace(_ack(taking, session, through), version=1))


def _bare(taking: Ingest, device: str, session: bytes) -> None:
    ack = _own_ack(taking, session)
    taking._publisher.tell(device, msgspec.structs.replace(ack, credit=0, recall_version=0))


_positions = Greeting.positions


def _hoped_positions(greeting: Greeting, sessions: Iterable[bytes]) -> Iterable[Position]:
    """Says that everything the agent has told of is committed."""
    told = {session: head for agent in greeting._agents._agents.values() for session, head in agent.heads.items()}
    for position in _positions(greeting, sessions):
        yield msgspec.structs.replace(position, through=told.get(position.session, position.through))


def _believe_beginning(start: SessionStart, held: Mapping[bytes, int], past: Past) -> Judgement | None:
    return judge(start, held, msgspec.structs.replace(past, is_held=start.session in past.heads, roots=0))


def _all_or_nothing(fact: Fact, stock: Mapping[str, Item]) -> Outcome:
    outcome = fold(fact, stock)
    return Outcome(items=(), refusals=outcome.refusals) if outcome.refusals else outcome


def _without_verdict(fact: Fact, stock: Mapping[str, Item]) -> Outcome:
    return Outcome(items=fold(fact, stock).items, refusals=())


def _one_unit_short(box: Item) -> tuple[Item, ...]:
    return units_of(box)[:-1]


def _every_box_twice(fact: Fact, stock: Mapping[str, Item]) -> Outcome:
    """Creates the units again where a box is opened a second time."""
    if fact.what is What.PRESCANNED:
        stock = {
            code: msgspec.structs.replace(item, state=State.IN_STOCK) if item.state is State.OPENED else item
            for code, item in stock.items()
        }
    return fold(fact, stock)


def _skip_unreadable(_commit: Transaction, _facts: Stretch, _index: int, _cause: str) -> None:
    """Keeps nothing of it."""


def _write_unsynced(ledger: DictLedger, commit: DictTransaction) -> None:
    ledger._disk, disk = _Unsynced(ledger._disk), ledger._disk  # type: ignore[assignment]
    try:
        _write(ledger, commit)
    finally:
        ledger._disk = disk


class _Unsynced:
    """A disk that says that it has synced."""

    def __init__(self, disk: Any) -> None:
        self.write = disk.write

    def sync(self) -> None:
        """Left to the operating system."""


def _held_as_committed(connection: sqlite3.Connection, sessions: Iterable[bytes]) -> dict[bytes, Reach]:
    early: Iterable[tuple[bytes, int]] = connection.early  # type: ignore[attr-defined]
    found = read_reach(connection, sessions)
    for session, seq in early:
        if session in found and seq > found[session].through:
            found[session] = msgspec.structs.replace(found[session], through=seq, head=b"")
    return found


def _keep_nothing(transaction: DictTransaction, _statement: str, _rows: Iterable[Any]) -> None:
    transaction.has_work = True


_write = DictLedger._write
_dispensed = MOVES[What.DISPENSED]
_AGAIN = msgspec.structs.replace(_dispensed, source=_dispensed.source | {State.DISPENSED})

CENTRAL = (
    Mutant(
        name="no_dedupe", wrong="a batch that comes twice is filed twice", patches=((appending, "admit", _admit_again),)
    ),
    Mutant(name="admits_gap", wrong="facts behind a gap are admitted", patches=((appending, "admit", _admit_gap),)),
    Mutant(
        name="fork_accepted",
        wrong="facts that do not follow from the ledger's chain are admitted",
        patches=((appending, "admit", _admit_fork),),
    ),
    Mutant(
        name="fork_unseen",
        wrong="two children of one parent raise nothing",
        patches=((lineage, "judge", lambda _start, _held, _past: None),),
    ),
    Mutant(
        name="beginning_believed",
        wrong="a journal that told of itself before it was judged is the one that was known",
        patches=((lineage, "judge", _believe_beginning),),
    ),
    Mutant(
        name="signature_unread",
        wrong="whoever writes to the broker is believed",
        patches=((envelope.SUITES, SUITE, lambda _key, _signature, _content: True),),
    ),
    Mutant(
        name="held_is_acked",
        wrong="what waits beside the ledger counts as committed",
        patches=((ingest, "read_reach", _held_as_committed),),
    ),
    Mutant(
        name="early_judged_at_once",
        wrong="facts that passed older ones enter the ledger before these",
        patches=((early, "must_wait", lambda _batch, _held, _parent: False),),
    ),
    Mutant(
        name="early_let_in_first",
        wrong="facts that wait for older ones do not wait for them",
        patches=((early, "may_enter", lambda _start, _held, _parent: True),),
    ),
    Mutant(
        name="early_not_synced",
        wrong="facts that wait beside the ledger are not on its disk",
        patches=((DictTransaction, "execute", _keep_nothing),),
    ),
    Mutant(
        name="inbox_unfair",
        wrong="one device may fill central's memory",
        patches=((inbox, "OF_ONE", 1 << 30),),
    ),
    Mutant(name="ack_before_commit", wrong="the ack leaves before the commit", patches=((Ingest, "take", _ack_first),)),
    Mutant(
        name="parted_too_early",
        wrong="facts that both histories have are asked for again",
        patches=((ingest_machine, "bisect_left", lambda *_, **__: 1),),
    ),
    Mutant(
        name="ack_highest",
        wrong="the ack names the highest seq seen, not the contiguous one",
        patches=((Ingest, "_acknowledge", _ack_highest),),
    ),
    Mutant(
        name="ack_old_version",
        wrong="the ack names a ledger version that lacks the facts",
        patches=((Ingest, "_acknowledge", _ack_old_version),),
    ),
    Mutant(
        name="exception_blocks_ack",
        wrong="a fact that does not fit is not acked",
        patches=((Ingest, "_acknowledge", _ack_without_exceptions),),
    ),
    Mutant(
        name="backup_told_barely",
        wrong="the ack that tells of a backup names no credit and no recalls",
        patches=((Ingest, "tell", _bare),),
    ),
    Mutant(
        name="welcome_with_hopes",
        wrong="the welcome states what the agent has, not what is committed",
        patches=((Greeting, "positions", _hoped_positions),),
    ),
    Mutant(
        name="ledger_not_synced",
        wrong="acked facts are not on central's disk",
        patches=((DictLedger, "_write", _write_unsynced),),
    ),
    Mutant(
        name="all_codes_or_none",
        wrong="one bad code drops the other codes of its fact",
        patches=((commits, "fold", _all_or_nothing),),
    ),
    Mutant(
        name="misfit_unsaid",
        wrong="what does not fit is not put on the work list",
        patches=((commits, "fold", _without_verdict),),
    ),
    Mutant(
        name="overtaken_unsaid",
        wrong="a late step that fits by chance is not put on the work list",
        patches=((Transaction, "doubt", lambda _transaction, _folded, _refusal: None),),
    ),
    Mutant(
        name="unreadable_dropped",
        wrong="a fact that cannot be read is acked and not kept",
        patches=((Transaction, "_file_unreadable", _skip_unreadable),),
    ),
    Mutant(
        name="unit_lost_in_prescan",
        wrong="an opened box becomes one unit too few",
        patches=((lifecycle, "units_of", _one_unit_short), (dict_transaction, "imbalance", lambda _box, _units: None)),
    ),
    Mutant(
        name="box_opened_twice",
        wrong="a second opening of a box puts its units back in stock",
        patches=((commits, "fold", _every_box_twice),),
    ),
    Mutant(
        name="dispensed_twice",
        wrong="a unit that is with a patient can be handed out again",
        patches=((MOVES, What.DISPENSED, _AGAIN),),
    ),
)
