"""What the two sides say to each other: HELLO and welcome, batches and acks, deltas and pulls (design.md §6)."""

import msgspec

from sync_protocol.chain import SessionStart
from sync_protocol.documents import DeliveryNote, Order, Person, Product
from sync_protocol.facts import FactId
from sync_protocol.items import Item
from sync_protocol.lifecycle import Refusal
from sync_protocol.recalls import SignedRecalls

SCHEMA = 1
"""Version of facts and messages that this code writes. It reads every version up to it."""


class Position(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How far the facts of a session are: the highest contiguous seq."""

    session: bytes
    through: int
    safe: int = 0
    """REQ-02: from central only; the part of ``through`` that a verified backup holds."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="hello"):
    """From an agent at every connect: where its chain and its replica stand."""

    start: SessionStart
    head: FactId | None
    head_hash: bytes
    pending: tuple[Position, ...]
    """What the agent knows this incarnation to have committed, oldest first: of sessions that still have facts to
    send, and of those whose facts are not all known to be in a backup. A ledger that has less went back in time."""
    replica_version: int
    """Of this incarnation; 0: the replica is of another."""
    schema: int = SCHEMA
    software: str = ""
    sent_us: int = 0
    incarnation: int = 0
    """REQ-03: the highest incarnation of central that the agent has met; 0: none."""
    recall_version: int = 0
    """REQ-07: the recall set that the agent holds."""
    heads: tuple[Position, ...] = ()
    """How far the journal goes in each session that has facts to send."""


class Welcome(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="welcome"):
    """Central's answer to HELLO: where it stands for each session named, and the ledger's version."""

    positions: tuple[Position, ...]
    version: int
    schema: int = SCHEMA
    echo_us: int = 0
    """``sent_us`` of the HELLO, for the clock estimate."""
    central_us: int = 0
    incarnation: int = 0
    recall_version: int = 0


class Batch(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="batch"):
    """Consecutive facts of one session, as the bytes they were written in."""

    start: SessionStart
    first_seq: int
    previous_hash: bytes
    """Hash of the fact before the first one; of the session start if the first seq is 1."""
    bodies: tuple[bytes, ...]
    incarnation: int = 0
    """REQ-03: of the central that it is sent to. A copy that was on its way to another life of the ledger is not taken:
    its device sends that ledger what it lacks, in order."""

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.bodies) - 1


class Verdict(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A fact that central keeps but that did not fit: an exception on the work list."""

    seq: int
    refusals: tuple[Refusal, ...]


class Ack(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="ack"):
    """REQ-01: the highest contiguous seq committed for the session, read from committed state after the commit."""

    session: bytes
    through: int
    version: int
    """A replica at this ledger version contains the effect of every fact up to ``through``."""
    exceptions: tuple[Verdict, ...] = ()
    incarnation: int = 0
    safe: int = 0
    recall_version: int = 0
    credit: int = 0
    """REQ-10: batches that central is ready to take beyond those it has answered; 0: as many as the window."""


class Pull(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="pull"):
    """The agent asks for all rows changed after its cursor."""

    after: int
    incarnation: int = 0
    """Whose rows: an agent asks for those of a restored ledger once that has all that the agent held."""


class Rows(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Rows of a delta, each complete: a row replaces the agent's older one."""

    items: tuple[Item, ...] = ()
    orders: tuple[Order, ...] = ()
    notes: tuple[DeliveryNote, ...] = ()
    products: tuple[Product, ...] = ()
    people: tuple[Person, ...] = ()

    @property
    def count(self) -> int:
        return len(self.items) + len(self.orders) + len(self.notes) + len(self.products) + len(self.people)


class Delta(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="delta"):
    """REQ-05: all rows changed in (after, to]. It may be applied only to a replica at exactly ``after``."""

    after: int
    to: int
    rows: Rows
    latest: int
    """The ledger's version when this was made: more is to pull if it is above ``to``."""
    incarnation: int = 0


class Refused(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="refused"):
    """Central cannot take what the agent sent; a person must act. The agent keeps everything and says so."""

    cause: str
    advice: str


class AskRecalls(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="ask_recalls"):
    """REQ-07: either side asks for the recall set that the other holds."""


class Confirm(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="confirm"):
    """REQ-07: the agent holds this recall set on its disk, in force."""

    recall_version: int


Up = Hello | Batch | Pull | AskRecalls | Confirm | SignedRecalls
Down = Welcome | Ack | Delta | Refused | SignedRecalls
