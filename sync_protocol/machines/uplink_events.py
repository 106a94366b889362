"""What the uplink machine hears (events) and asks for (effects)."""

import msgspec

from sync_protocol.messages import Ack, Position, Verdict, Welcome


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """The link to the broker is up: say HELLO."""

    now_us: int


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    """The link is down: whatever was in flight may be lost."""


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of the current session are in the journal up to ``through``."""

    session: bytes
    through: int
    now_us: int


class Welcomed(msgspec.Struct, frozen=True, kw_only=True):
    """``strange``: sessions of which central has other facts than the journal, by their hashes."""

    welcome: Welcome
    now_us: int
    strange: frozenset[bytes] = frozenset()


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """``is_strange``: it is of other facts than the journal has under these numbers."""

    ack: Ack
    now_us: int
    is_strange: bool = False


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The shell's answer to SendBatch: how far it got within the byte limit of a batch.

    No further than it was: the link had no room.
    """

    session: bytes
    through: int
    now_us: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One session of the journal: written through ``head``, acked through ``acked``, pruned up to ``kept``."""

    session: bytes
    head: int
    acked: int = 0
    kept: int = 0


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """The new incarnation is written down, and every fact still in the journal counts as not acked again.

    ``lines``: every session that has facts in the journal, oldest first, and the current one, which may be all pruned.
    """

    incarnation: int
    lines: tuple[Line, ...]
    now_us: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A delta named the incarnation of the central that sent it; an empty one is central's word that it is there."""

    incarnation: int
    now_us: int
    is_empty: bool = False


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The shell's answer to OpenSession: facts are written into this new session from now on.

    ``closed``: the last seq of the session before, of which some may not have been told yet.
    """

    session: bytes
    closed: int
    now_us: int


class Parted(msgspec.Struct, frozen=True, kw_only=True):
    """Central has other facts of the session past ``through``, and the same ones up to there."""

    session: bytes
    through: int
    incarnation: int
    now_us: int


class WrittenAgain(msgspec.Struct, frozen=True, kw_only=True):
    """The shell's answer to WriteAgain: the facts are those of the session ``to`` up to ``head``."""

    session: bytes
    through: int
    to: bytes
    head: int
    now_us: int


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    now_us: int


class SendHello(msgspec.Struct, frozen=True, kw_only=True):
    """``pending``: what this incarnation is believed to have committed; ``heads``: how far each of these is written."""

    pending: tuple[Position, ...]
    heads: tuple[Position, ...]


class SendBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Send facts of ``session`` after seq ``after``, at most ``limit``; answer with Sent.

    ``is_early``: before facts of earlier sessions.
    """

    session: bytes
    after: int
    limit: int
    is_early: bool = False


class OpenSession(msgspec.Struct, frozen=True, kw_only=True):
    """Write what happens now into a new session, which need not wait for this one; answer with Opened.

    ``is_woken``: another life of this machine has gone on in this one. What that said is no longer heard then.
    """

    is_woken: bool = False


class WriteAgain(msgspec.Struct, frozen=True, kw_only=True):
    """REQ-04: end ``session`` at ``through``, and write its facts past that again in a new one that follows it there.

    If ``session`` is the one that is written now, the new one is until another is opened. Answer with WrittenAgain.
    """

    session: bytes
    through: int


class Settle(msgspec.Struct, frozen=True, kw_only=True):
    """Write down that central has committed ``session`` through ``through``, visible at ledger version ``version``."""

    session: bytes
    through: int
    version: int
    exceptions: tuple[Verdict, ...] = ()
    safe: int = 0
    """REQ-02: facts up to here are in a verified backup and may be pruned when they are old."""


class Adopt(msgspec.Struct, frozen=True, kw_only=True):
    """REQ-03: central was restored. Write its incarnation down, forget all acks, answer with Adopted."""

    incarnation: int


class Refilled(msgspec.Struct, frozen=True, kw_only=True):
    """The restored ledger has all that this journal held when it was adopted: from ``version`` on it may be copied."""

    incarnation: int
    version: int


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """What cannot be: a person must look."""

    cause: str


Event = (
    Connected
    | Disconnected
    | Committed
    | Welcomed
    | Acked
    | Sent
    | Adopted
    | Told
    | Opened
    | Parted
    | WrittenAgain
    | Tick
)
Effect = SendHello | SendBatch | OpenSession | WriteAgain | Settle | Adopt | Refilled | Alarm


def said_by(event: Event) -> int | None:
    """The incarnation of the central that said it; None: none did."""
    match event:
        case Welcomed():
            return event.welcome.incarnation
        case Acked():
            return event.ack.incarnation
        case Told() | Parted():
            return event.incarnation
        case _:
            return None
