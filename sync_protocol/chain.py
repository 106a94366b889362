"""The hash chain of a device: every fact is bound to all before it, every session to the one it follows.

::

    session:  h0 = SHA-256("codepool session 1" | msgpack(device, session, parent session, parent seq, parent hash))
    fact n:   hn = SHA-256("codepool fact 1"    | h(n-1) | body n)
    again:    session = SHA-256("codepool session again 1" | session | h of the first fact that is written again)[:16]

A session follows the session that the device wrote last: two children of one parent prove a restored disk or a clone.
Cutting, editing or re-ordering anything changes every hash after it.
"""

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from sync_protocol.errors import ChainError
from sync_protocol.facts import SESSION_BYTES, FactId, SealedFact

HASH_BYTES = 32
_SESSION_DOMAIN = b"codepool session 1"
_FACT_DOMAIN = b"codepool fact 1"
_AGAIN_DOMAIN = b"codepool session again 1"
_encoder = msgspec.msgpack.Encoder()


class SessionStart(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The first link of a session. A device's very first session has an empty parent."""

    device: str
    session: bytes
    parent_session: bytes = b""
    parent_seq: int = 0
    parent_hash: bytes = b""
    started_us: int = 0

    def __post_init__(self) -> None:
        if len(self.session) != SESSION_BYTES:
            raise ChainError(f"session: found {len(self.session)} bytes, expected {SESSION_BYTES}")
        if bool(self.parent_session) != bool(self.parent_hash):
            raise ChainError("parent: a session names its parent with session and hash, or names none")

    @property
    def hash(self) -> bytes:
        """The hash that the first fact of the session follows."""
        link = (self.device, self.session, self.parent_session, self.parent_seq, self.parent_hash)
        return hashlib.sha256(_SESSION_DOMAIN + _encoder.encode(link)).digest()


def link(previous: bytes, body: bytes) -> bytes:
    """Hash of the fact with these bytes, following the one with hash ``previous``."""
    return hashlib.sha256(_FACT_DOMAIN + previous + body).digest()


def links(previous: bytes, bodies: Iterable[bytes]) -> list[bytes]:
    """Hash of each of these facts, the first of them following ``previous``."""
    sha256, domain, hashes = hashlib.sha256, _FACT_DOMAIN, []
    for body in bodies:
        previous = sha256(domain + previous + body).digest()
        hashes.append(previous)
    return hashes


def start_again(start: SessionStart, seq: int, digest: bytes, first: bytes) -> SessionStart:
    """The session for facts of ``start`` past ``seq``, with hash ``digest``, that are written again (REQ-04).

    ``first``: the hash of the first of them. All else follows from them, so that the disk that is put back once more
    comes to the same session, and its facts are in the ledger once.
    """
    session = hashlib.sha256(_AGAIN_DOMAIN + start.session + first).digest()[:SESSION_BYTES]
    return SessionStart(
        device=start.device,
        session=session,
        parent_session=start.session,
        parent_seq=seq,
        parent_hash=digest,
        started_us=start.started_us,
    )


class Stretch(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Consecutive facts of a session in their chain. One of them alone is put together only when it is asked for."""

    start: SessionStart
    first_seq: int
    bodies: tuple[bytes, ...]
    hashes: list[bytes]

    def __len__(self) -> int:
        return len(self.bodies)

    def __getitem__(self, index: int) -> SealedFact:
        seq = range(self.first_seq, self.first_seq + len(self.bodies))[index]
        identity = FactId(device=self.start.device, session=self.start.session, seq=seq)
        return SealedFact(id=identity, body=self.bodies[index], hash=self.hashes[index])

    def __iter__(self) -> Iterator[SealedFact]:
        return (self[index] for index in range(len(self.bodies)))


def stretch(start: SessionStart, first_seq: int, previous: bytes, bodies: Iterable[bytes]) -> Stretch:
    """These facts, the first of them following ``previous``."""
    bodies = tuple(bodies)
    return Stretch(start=start, first_seq=first_seq, bodies=bodies, hashes=links(previous, bodies))


def seal(start: SessionStart, seq: int, previous: bytes, body: bytes) -> SealedFact:
    return SealedFact(
        id=FactId(device=start.device, session=start.session, seq=seq),
        body=body,
        hash=link(previous, body),
    )


def verify(previous: bytes, facts: list[SealedFact]) -> bytes:
    """Hash of the last fact. Raises ChainError at the first fact that does not follow from ``previous``."""
    seq = facts[0].id.seq if facts else 0
    for fact in facts:
        if fact.id.seq != seq:
            raise ChainError(f"seq: found {fact.id.seq}, expected {seq} of {fact.id.device}")
        previous = link(previous, fact.body)
        if fact.hash != previous:
            raise ChainError(f"hash of fact {seq} of {fact.id.device}: the fact or one before it was changed")
        seq += 1
    return previous
