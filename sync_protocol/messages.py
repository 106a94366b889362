"""What the two sides say to each other: HELLO and welcome, batches and acks, deltas and pulls (design.md §6)."""

import msgspec

from sync_protocol.chain import SessionStart
from sync_protocol.documents import CountSheet, DeliveryNote, Order, Person, Product, Route, Transfer
from sync_protocol.facts import FactId
from sync_protocol.items import Item
from sync_protocol.lifecycle import Refusal
from sync_protocol.recalls import SignedRecalls

SCHEMA = 2
"""Version of facts and messages that this code writes. It reads every version up to it. 2: batches in columns."""


class Position(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How far the facts of a session are: the highest contiguous seq."""

    session: bytes
    through: int
    safe: int = 0
    """REQ-02: from central only; the part of ``through`` that a verified backup holds."""
    held: int = 0
    """From central only: how far it holds facts that wait there for older ones of the device (``machines.early``)."""
    at: int = -1
    hash: bytes = b""
    """From central only: of its fact ``at``, as in an ack."""


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
    key: bytes = b""
    """REQ-09: the public key that signed this, for a central that does not know the device yet."""


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
    key: bytes = b""
    """REQ-09: the public key that signed this, for an agent that does not know central yet."""
    credit: int = 0
    """REQ-10: as in an ack."""
    heard: int = 0
    """REQ-09: the highest message number that central heard of the HELLO's stream. A process that was resumed from a
    snapshot of its machine goes on above it: to what it said before, it would only be an echo."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="batch"):
    """Consecutive facts of one session, as the bytes they were written in."""

    start: SessionStart
    first_seq: int
    previous_hash: bytes
    """Hash of the fact before the first one; of the session start if the first seq is 1."""
    bodies: tuple[bytes, ...]
    is_early: bool = False
    """Facts of earlier sessions are still to come: these pass them on the way, and wait for them at central."""
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
    """REQ-10: facts that the agent may have in flight; 0: as many as its window holds."""
    held: int = 0
    """How far central holds facts of the session that wait there for older ones of the device."""
    at: int = -1
    hash: bytes = b""
    """Of central's fact ``at``, the last one that both sides may have. An ack is of these bytes and no others: with
    another hash there, the histories part before it (REQ-04)."""


class Parted(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="parted"):
    """REQ-04: central has other facts of the session past ``seq`` than the agent has. ``hash``: of the last common one.

    The agent was woken from a snapshot of its memory; its session had gone on without it, or does so elsewhere. It
    writes what it has past ``seq`` again, in a session of its own.
    """

    session: bytes
    seq: int
    hash: bytes
    incarnation: int


class Pull(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="pull"):
    """The agent asks for all rows changed after its cursor."""

    after: int
    incarnation: int = 0
    """Whose rows: an agent asks for those of a restored ledger once that has all that the agent held."""
    takes: int = 0
    """REQ-06: the ``replica_format.VERSION`` of a snapshot that it would take in the place of many deltas; 0: none."""
    part: bytes = b""
    """SHA-256 of the snapshot that it has a part of."""


class Offer(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="offer"):
    """REQ-06: the answer to a pull that is far behind: a whole replica at ``version``, as a file over HTTP.

    The file is a zstd frame. ``ticket`` is good for one request within ``for_s``; a further attempt pulls again.
    """

    path: str
    sha256: bytes
    size: int
    raw_size: int
    """Bytes when unpacked: one more is refused."""
    version: int
    incarnation: int
    takes: int
    """The ``replica_format.VERSION`` of the file."""
    ticket: str
    for_s: int


class Rows(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Rows of a delta, each complete: a row replaces the agent's older one."""

    items: tuple[Item, ...] = ()
    orders: tuple[Order, ...] = ()
    notes: tuple[DeliveryNote, ...] = ()
    products: tuple[Product, ...] = ()
    people: tuple[Person, ...] = ()
    sheets: tuple[CountSheet, ...] = ()
    transfers: tuple[Transfer, ...] = ()

    @property
    def count(self) -> int:
        return sum(len(rows) for rows in msgspec.structs.astuple(self))


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


class Compare(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="compare"):
    """REQ-06: to all agents: who is at this version now, say what your replica holds."""

    version: int
    incarnation: int


class Digest(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="digest"):
    """The agent's answer: ``digests.pack`` of the items of its replica at this version."""

    version: int
    incarnation: int
    sums: bytes


class Differ(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="differ"):
    """Central's answer to a digest: the buckets whose items are not those of the ledger at that version."""

    version: int
    incarnation: int
    buckets: tuple[int, ...]


class AskBucket(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="ask_bucket"):
    """The agent asks for the items of a bucket, from after a code on."""

    bucket: int
    after: str
    incarnation: int


class Bucket(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="bucket"):
    """Every item that the ledger has at ``version`` in the bucket with a code in (after, to]; empty ``to``: to the end.

    It may be compared only with a replica at exactly that version.
    """

    bucket: int
    version: int
    incarnation: int
    after: str
    to: str
    items: tuple[Item, ...]


class Mended(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="mended"):
    """The agent has put its replica right: how many items were wrong, missing or not of this ledger.

    -1: so much differs that all of it is copied anew.
    """

    version: int
    incarnation: int
    items: int


class Holds(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="holds"):
    """REQ-08: all that an agent holds by lease, after every welcome and whenever it gives something back.

    What central counts as held and does not find here was given back, or issued by a fact up to ``heads``.
    """

    session: bytes
    number: int
    """Counts the statements of the session from 1: an older one that comes late is passed over."""
    seen: int
    """The last grant of this session that was taken."""
    incarnation: int
    """Of the central that granted it."""
    spoken_to: int
    """The incarnation that this is said to: ``heads`` is what that one may lack."""
    sent_us: int
    """By the agent's own clock that never jumps: what this brings lasts from then on."""
    location: str
    route: Route
    want: int
    """Items of each product that it would like to hold."""
    codes: tuple[str, ...]
    heads: tuple[Position, ...] = ()
    """How far the journal was written, in every session that has facts to send, when this was said."""
    is_leaving: bool = False
    """It stops, and wants nothing."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="ask"):
    """REQ-08: an agent asks for the right to issue these codes; without any, only for more time."""

    session: bytes
    seen: int
    sent_us: int
    codes: tuple[str, ...] = ()


class Grant(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="grant"):
    """REQ-08: what the agent may issue without asking, besides what it got by the grants up to ``after``.

    It follows on the grant with the number ``after`` and is taken after that one only. ``is_whole``: these codes are
    all, as the answer to the statement with the number ``after``.
    """

    session: bytes
    number: int
    after: int
    incarnation: int
    codes: tuple[str, ...]
    is_whole: bool = False
    sent_us: int = 0
    """Of the message that this answers; 0: of none, and the lease lasts no longer by it."""
    left_us: int = 0
    """How long the lease may be used from then on. Central itself waits for longer."""


class Release(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="release"):
    """REQ-08: another agent needs these codes; who has not issued them says so with ``Holds``."""

    codes: tuple[str, ...]


class Holder(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Who may issue a code; no device: nobody, it is not free, or the ledger was restored and waits."""

    code: str
    device: str = ""


class Withheld(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="withheld"):
    """REQ-08: codes that were asked for and are not granted."""

    by: tuple[Holder, ...]


class AskHolds(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="ask_holds"):
    """REQ-08: central does not know what the agent holds, and grants nothing before it has said so."""


class Fence(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="fence"):
    """REQ-08: the journal was set back, copied or lost: the agent holds nothing until a person has looked."""


Up = Hello | Batch | Pull | AskRecalls | Confirm | SignedRecalls | Digest | AskBucket | Mended | Holds | Ask
_OfLeases = Grant | Release | Withheld | AskHolds | Fence
Down = Welcome | Ack | Parted | Delta | Refused | SignedRecalls | Offer | Compare | Differ | Bucket | _OfLeases
