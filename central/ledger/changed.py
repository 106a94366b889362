"""Which items changed after a version: the facts say it, for each commit has the facts that changed its items.

Facts are in the order of their versions, so that the first one after a version is found by halving. An index of items
by version would be torn up and mended in two places with every state change.
"""

import sqlite3
from bisect import bisect_right

import msgspec

from central.ledger import rows, statements
from central.ledger.staging import in_chunks
from sync_protocol.codec import decode_fact
from sync_protocol.errors import ProtocolError
from sync_protocol.facts import What
from sync_protocol.items import Item
from sync_protocol.subcode import sub_codes

_SAMPLE = 1_000
"""Codes from which the rest is estimated."""


class _Spoken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first fields of a fact."""

    what: str
    codes: tuple[str, ...]


_decode = msgspec.msgpack.Decoder(_Spoken).decode


def spoken_after(connection: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, list[str]]]:
    """For each fact after a version: its version, and the codes of all items that it may have changed.

    It ends behind ``limit`` codes, but never within the first commit.
    """
    spoken: list[tuple[int, list[str]]] = []
    count = 0
    for version, body in connection.execute(statements.FACTS_FROM, (_first_after(connection, after),)):
        codes = _codes(body)
        spoken.append((version, codes))
        count += len(codes)
        if count > limit and version > spoken[0][0]:
            break
    return spoken


def changed_items(connection: sqlite3.Connection, codes: set[str], after: int, to: int) -> list[Item]:
    """Those of the codes whose items changed last in (after, to]."""
    found = in_chunks(connection, statements.ITEMS, sorted(codes))
    return [item for item, version, _ in rows.versioned_items_of(found) if after < version <= to]


def lacks(connection: sqlite3.Connection, after: int, limit: int) -> bool:
    """Whether a copy at a version lacks more than ``limit`` items, about: judged by the facts that come first."""
    (last,) = connection.execute(statements.LAST_POSITION).fetchone()
    spoken = spoken_after(connection, after, _SAMPLE)
    if not spoken:
        return False
    facts = last - _first_after(connection, after) + 1
    codes = sum(len(codes) for _, codes in spoken) * facts // len(spoken)
    if codes <= limit:
        return False
    (items,) = connection.execute(statements.COUNT_ITEMS, (limit + 1,)).fetchone()
    return int(items) > limit


def _first_after(connection: sqlite3.Connection, version: int) -> int:
    (last,) = connection.execute(statements.LAST_POSITION).fetchone()

    def version_at(position: int) -> int:
        row = connection.execute(statements.VERSION_AT, (position,)).fetchone()
        return int(row[0]) if row else 0

    return bisect_right(range(1, last + 1), version, key=version_at) + 1


def _codes(body: bytes) -> list[str]:
    try:
        spoken = _decode(body)
        codes = list(spoken.codes)
        if spoken.what == What.PRESCANNED:  # its units are items of their own
            units = decode_fact(body).units
            codes += [unit for box in spoken.codes for unit in sub_codes(box, units)]
    except (msgspec.MsgspecError, UnicodeDecodeError, ProtocolError):
        return []  # what cannot be read changed nothing
    return codes
