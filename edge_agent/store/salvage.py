"""Saves every intact fact of a damaged journal, from its raw pages, and says which of them their chain proves."""

import base64
import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from edge_agent.errors import StoreError
from edge_agent.store import folder
from edge_agent.store.carving import Row, carve
from edge_agent.store.folder import sync
from edge_agent.store.schema import SEQ_BITS
from sync_protocol.chain import HASH_BYTES, SessionStart, link
from sync_protocol.codec import decode_fact
from sync_protocol.errors import FactError, WireError
from sync_protocol.facts import SESSION_BYTES, Fact

_SEQ_MASK = (1 << SEQ_BITS) - 1


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the output. ``is_proven``: it follows from the fact before it, so that not a bit was changed.

    ``is_again``: it stands once more in a later session, and that one is for central (REQ-04).
    """

    device: str
    session: str
    seq: int
    is_proven: bool
    is_again: bool
    hash: str
    body: str
    fact: Fact | None


class Salvage(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. ``missing``: seqs below a session's last one of which no intact copy is left."""

    proven: int
    unproven: int
    missing: int
    out: Path

    def __str__(self) -> str:
        return (
            f"{self.out}: {self.proven} facts saved and proven by their chain, {self.unproven} saved without the fact"
            f" that would prove them, {self.missing} gone. Give this file to the administrator."
        )


def salvage(data: Path, out: Path) -> Salvage:
    """Write what is intact of the journal in ``data`` to ``out``, one JSON a line. Raises StoreError."""
    path = data / folder.JOURNAL
    try:
        rows = list(carve(path))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; expected a journal that this user may read.") from error
    starts = {number: start for number, start in map(_start_of, rows) if start is not None}
    bases, parted = _marks_of(rows)
    facts = _facts_of(rows)
    saved = list(_proofs(facts, starts, bases, parted))
    try:
        _write(out, saved)
    except OSError as error:
        raise StoreError(f"{out}: {error.strerror}; expected a new file on a disk with space.") from error
    proven = sum(fact.is_proven for fact in saved)
    last = {position >> SEQ_BITS: position & _SEQ_MASK for position in sorted(facts)}
    pruned = sum(bases[number][0] for number in last if number in bases)
    missing = max(0, sum(last.values()) - pruned - len(saved))
    return Salvage(proven=proven, unproven=len(saved) - proven, missing=missing, out=out)


def _write(out: Path, saved: list[Saved]) -> None:
    """All of it under its name, or nothing. Raises OSError."""
    if out.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    partial = out.with_name(f"{out.name}.partial")
    with partial.open("wb") as file:
        file.writelines(msgspec.json.encode(fact) + b"\n" for fact in saved)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(out)
    sync(out.parent)


def _start_of(row: Row) -> tuple[int, SessionStart | None]:
    """A row of the table ``session``, known by its shape."""
    match row.values:
        case (None, bytes(session), bytes(device), bytes(parent), int(seq), bytes(digest), int(started), *_):
            if len(session) == SESSION_BYTES and bool(parent) == bool(digest):
                start = SessionStart(
                    device=device.decode("utf-8", "replace"),
                    session=session,
                    parent_session=parent,
                    parent_seq=seq,
                    parent_hash=digest,
                    started_us=started,
                )
                return row.rowid, start
    return row.rowid, None


_SHAPE = (type(None), bytes, bytes, bytes, int, bytes, int, int, int, int, int, bytes)
"""Of a row of the table ``session`` as far as the hash that its chain goes on from after what is pruned."""


def _marks_of(rows: list[Row]) -> tuple[dict[int, tuple[int, bytes]], dict[int, int]]:
    """By number of a session how far it is pruned with the hash there, and past which fact it is written again."""
    bases, parted = {}, {}
    for row in rows:
        if tuple(map(type, row.values[: len(_SHAPE)])) != _SHAPE:
            continue
        *_, base, digest = row.values[: len(_SHAPE)]
        if isinstance(base, int) and isinstance(digest, bytes) and base and len(digest) == HASH_BYTES:
            bases[row.rowid] = (base, digest)
        for end in row.values[len(_SHAPE) :][:1]:
            if isinstance(end, int):
                parted[row.rowid] = end
    return bases, parted


def _facts_of(rows: list[Row]) -> dict[int, list[tuple[bytes, bytes]]]:
    """Every copy of (body, hash) by position: rows of the table ``fact``, known by their shape."""
    facts: dict[int, list[tuple[bytes, bytes]]] = {}
    for row in rows:
        match row.values:
            case (None, bytes(body), bytes(digest)) if len(digest) == HASH_BYTES and row.rowid >> SEQ_BITS:
                copies = facts.setdefault(row.rowid, [])
                if (body, digest) not in copies:
                    copies.append((body, digest))
    return facts


def _proofs(
    facts: Mapping[int, list[tuple[bytes, bytes]]],
    starts: Mapping[int, SessionStart],
    bases: Mapping[int, tuple[int, bytes]],
    parted: Mapping[int, int],
) -> Iterator[Saved]:
    for position in sorted(facts):
        number, seq = position >> SEQ_BITS, position & _SEQ_MASK
        start = starts.get(number)
        befores = [digest for _, digest in facts.get(position - 1, ())] if seq > 1 else []
        if seq == 1 and start is not None:
            befores = [start.hash]
        base, base_hash = bases.get(number, (0, b""))
        if base and seq == base + 1:
            befores = [base_hash]
        proven = [copy for copy in facts[position] if any(link(before, copy[0]) == copy[1] for before in befores)]
        body, digest = (proven or facts[position])[0]
        fact = _fact(body)
        if not proven and fact is None:
            continue  # neither a fact nor proven to be what was written
        yield Saved(
            device=start.device if start else "",
            session=start.session.hex() if start else f"number {number}",
            seq=seq,
            is_proven=bool(proven),
            is_again=seq > parted.get(number, seq),
            hash=digest.hex(),
            body=base64.b64encode(body).decode(),
            fact=fact,
        )


def _fact(body: bytes) -> Fact | None:
    try:
        return decode_fact(body)
    except (FactError, WireError):
        return None
