"""A signed head a day: what the ledger was, in a file to be kept where nobody who can change the ledger can reach it.

A ledger whose history was rewritten, by whoever and however well, no longer fits the heads of the days before.
"""

import hashlib
import pathlib
import sqlite3
from collections.abc import Iterable

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from central.ledger import durable, signing, statements

FOLDER = "heads"
_DOMAIN = b"codepool head 1"
_HEADS_AT = (
    "SELECT session, max(seq), hash FROM fact WHERE position <= ? GROUP BY session ORDER BY session"  # hash: of the max
)
_HEADS_NOW = "SELECT session, through, head FROM session WHERE through > 0 ORDER BY session"
_VERSION_AT = "SELECT coalesce(max(version), 0) FROM fact WHERE position <= ?"
_AFTER = "SELECT min(version) FROM fact WHERE position > ?"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """``sessions``: SHA-256 over (session, seq, hash) of the last fact of each session, by session."""

    date: str
    written_us: int
    incarnation: int
    position: int
    version: int
    sessions: str
    key: str
    signature: str = ""

    @property
    def signed(self) -> bytes:
        return _DOMAIN + msgspec.json.encode(msgspec.structs.replace(self, signature=""))


def write(
    folder: pathlib.Path, connection: sqlite3.Connection, key: Ed25519PrivateKey, *, date: str, now_us: int
) -> pathlib.Path | None:
    """The head of this moment under the name of the day, unless the day has one. Raises OSError."""
    path = folder / FOLDER / f"{date}.json"
    if path.exists():
        return None
    (position,) = connection.execute(statements.LAST_POSITION).fetchone()
    numbers = {row[0]: row[1] for row in connection.execute(statements.ALL_META)}
    head = Head(
        date=date,
        written_us=now_us,
        incarnation=int(numbers.get("incarnation", 0)),
        position=position,
        version=int(numbers.get("version", 0)),
        sessions=_digest(connection.execute(_HEADS_NOW)),
        key=signing.public_of(key),
    )
    head = msgspec.structs.replace(head, signature=key.sign(head.signed).hex())
    path.parent.mkdir(exist_ok=True)
    durable.write(path, msgspec.json.format(msgspec.json.encode(head)) + b"\n")
    return path


def lives_of(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Every incarnation of the ledger, and how many facts it began with."""
    row = connection.execute(statements.READ_META, ("lives",)).fetchone()
    return msgspec.json.decode(row[0], type=list[tuple[int, int]]) if row else []


def _digest(sessions: Iterable[tuple[bytes, int, bytes]]) -> str:
    """Of the last fact of each session: session, seq, hash."""
    digest = hashlib.sha256(_DOMAIN)
    for row in sessions:
        digest.update(msgspec.msgpack.encode(row))
    return digest.hexdigest()


def check(folder: pathlib.Path, connection: sqlite3.Connection) -> list[str]:
    """What of the heads in a data folder the ledger does not fit.

    Facts that a restore cut off came back at other positions. Of a head beyond such a cut the signature alone is
    looked at.
    """
    flaws: list[str] = []
    lives = lives_of(connection)
    keys = signing.trusted(folder)
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            head = msgspec.json.decode(path.read_bytes(), type=Head)
            is_signed = signing.is_signed_by(keys, bytes.fromhex(head.signature), head.signed)
        except (msgspec.MsgspecError, ValueError) as error:
            flaws.append(f"{path.name}: {error}")
            continue
        if not is_signed or head.date != path.stem:
            flaws.append(f"{path.name}: it was changed: no key of this ledger signed it under this date")
        elif all(head.position <= begun for life, begun in lives if life > head.incarnation):
            flaws += [f"{path.name}: {flaw}" for flaw in _misfits(connection, head)]
    return flaws


def _misfits(connection: sqlite3.Connection, head: Head) -> list[str]:
    (last,) = connection.execute(statements.LAST_POSITION).fetchone()
    if last < head.position:
        return [f"found {last} facts in the ledger, expected at least {head.position}"]
    (version,) = connection.execute(_VERSION_AT, (head.position,)).fetchone()
    (after,) = connection.execute(_AFTER, (head.position,)).fetchone()
    if version > head.version or (after is not None and after <= head.version):
        return [f"facts up to {head.position} are not those of version {head.version}"]
    if _digest(connection.execute(_HEADS_AT, (head.position,))) != head.sessions:
        return [f"facts up to {head.position} are not those that were there on that day"]
    return []
