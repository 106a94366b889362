"""The seal: one signed number that every row of the ledger has a part in, renewed in each commit.

Facts form a chain, a link for each commit that brought some. Of the other tables a sum of row hashes is kept, which the
writer's own connection keeps up to date by temporary triggers: they exist in no other connection, so a row that anybody
else edits, deletes or inserts no longer fits the sum. Items are left out: they follow from the facts.

::

    chain  c(n) = SHA-256("codepool ledger 2" | c(n-1) | msgpack of each of its fact rows, by position)
    sum    of SHA-256(msgpack(table, values …)) over a table's rows, modulo 2^256
    state  = SHA-256("codepool seal 1" | msgpack(commits, chain, sums, rows of meta, schema revision)), signed
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from central.errors import LedgerCorruptError
from central.ledger import statements
from central.ledger.schema import metadata

UNSEALED = "unsealed"
"""Row of ``meta`` that a migration writes when it changes rows: the next start seals what is there."""
_CHAIN_DOMAIN, _STATE_DOMAIN = b"codepool ledger 2", b"codepool seal 1"
_MODULUS = 1 << 256
_FOLLOWS_FROM_FACTS = frozenset({"fact", "item", "seal", "meta"})
SUMMED = {
    str(table.name): tuple(str(column.name) for column in table.columns)
    for table in metadata.sorted_tables
    if table.name not in _FOLLOWS_FROM_FACTS
}
_VERSION = statements.FACT_COLUMNS.split(", ").index("version")
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(dict[str, bytes])


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a seal is about, besides ``meta`` and the revision, which are read when it is written or checked."""

    commits: int = 0
    chain: bytes = bytes(32)
    sums: dict[str, int] = {}


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A seal as it stands in the ledger."""

    state: State
    signature: bytes


def row_hash(table: str, values: tuple[Any, ...]) -> int:
    return int.from_bytes(hashlib.sha256(_encode((table, *values))).digest())


def chained(chain: bytes, facts: Iterable[tuple[Any, ...]]) -> bytes:
    """The chain after one more commit; ``facts``: its rows of ``statements.FACT_COLUMNS``."""
    rows = list(facts)
    return hashlib.sha256(_CHAIN_DOMAIN + chain + _encode(rows)[_head_of(rows) :]).digest()


def _head_of(array: list[Any]) -> int:
    """Bytes of msgpack before the first member of the array: all members are packed in one call."""
    return 1 if len(array) < 1 << 4 else 3 if len(array) < 1 << 16 else 5


def summed(connection: sqlite3.Connection, table: str) -> int:
    """The sum of a table as its rows are now."""
    columns = ", ".join(f'"{name}"' for name in SUMMED[table])
    rows = connection.execute(f'SELECT {columns} FROM "{table}"')  # noqa: S608 -- names of this module
    return sum(row_hash(table, row) for row in rows) % _MODULUS


def digest(connection: sqlite3.Connection, state: State) -> bytes:
    """What is signed."""
    meta = connection.execute(statements.ALL_META).fetchall()
    revision = connection.execute(statements.REVISION).fetchall()
    sums = [(table, number.to_bytes(32)) for table, number in sorted(state.sums.items())]
    return hashlib.sha256(_STATE_DOMAIN + _encode((state.commits, state.chain, sums, meta, revision))).digest()


def read(connection: sqlite3.Connection) -> Sealed | None:
    row = connection.execute(statements.READ_SEAL).fetchone()
    if row is None:
        return None
    commits, chain, sums, signature = row
    numbers = {table: int.from_bytes(number) for table, number in _decoder.decode(sums).items()}
    return Sealed(state=State(commits=commits, chain=chain, sums=numbers), signature=signature)


class Seal:
    """Follows what one connection writes: ``begin`` before each transaction, ``write`` in it, ``keep`` after it."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._kept = State()
        self._is_unsealed = False
        self._chain = bytes(32)
        self._sums: dict[str, int] = {}

    @property
    def commits(self) -> int:
        """How many transactions the ledger has had."""
        return self._kept.commits

    def attach(self, connection: sqlite3.Connection) -> bytes:
        """Follow this connection from now on; what identifies its last commit. Raises LedgerCorruptError."""
        found = read(connection)
        self._is_unsealed = connection.execute(statements.READ_META, (UNSEALED,)).fetchone() is not None
        if self._is_unsealed:
            self._kept = _state_of_rows(connection, found.state.commits if found else 0)
        elif found is None:
            raise LedgerCorruptError(
                "ledger: the seal is gone, expected the row that every commit writes: somebody changed the file.\n"
                "Nothing was changed now. Copy the data folder, restore the last backup beside it and compare."
            )
        else:
            self._kept = found.state
        connection.create_function("sealed", -1, self._add_row)
        # Without it the row that an INSERT OR REPLACE puts away would leave its part in the sum.
        connection.execute("PRAGMA recursive_triggers = ON")
        for statement in _triggers():
            connection.execute(statement)
        return digest(connection, self._kept)

    def begin(self) -> None:
        self._chain, self._sums = self._kept.chain, dict(self._kept.sums)

    def add_facts(self, facts: Sequence[tuple[Any, ...]]) -> None:
        """All rows of facts of the transaction, by position."""
        if facts:
            self._chain = chained(self._chain, facts)

    def write(self, connection: sqlite3.Connection) -> tuple[State, bytes]:
        """Seal the transaction; what to ``keep`` when it is committed, and what identifies it."""
        if self._is_unsealed:
            connection.execute(statements.DELETE_META, (UNSEALED,))
        state = State(commits=self._kept.commits + 1, chain=self._chain, sums=self._sums)
        signed = digest(connection, state)
        sums = _encode({table: number.to_bytes(32) for table, number in self._sums.items()})
        connection.execute(statements.WRITE_SEAL, (state.commits, state.chain, sums, self._key.sign(signed)))
        return state, signed

    def keep(self, state: State) -> None:
        self._kept, self._is_unsealed = state, False

    def _add_row(self, table: str, sign: int, *values: Any) -> None:
        self._sums[table] = (self._sums.get(table, 0) + sign * row_hash(table, values)) % _MODULUS


def _state_of_rows(connection: sqlite3.Connection, commits: int) -> State:
    """Of a ledger that was never sealed, or that a migration changed."""
    chain = bytes(32)
    for _, facts in groupby(connection.execute(statements.SEALED_FACTS), key=itemgetter(_VERSION)):
        chain = chained(chain, facts)
    return State(commits=commits, chain=chain, sums={table: summed(connection, table) for table in SUMMED})


def _triggers() -> list[str]:
    made = []
    for table, columns in SUMMED.items():
        new, old = (", ".join(f'{side}."{name}"' for name in columns) for side in ("NEW", "OLD"))
        add, remove = f"SELECT sealed('{table}', 1, {new});", f"SELECT sealed('{table}', -1, {old});"
        for event, work in (("INSERT", add), ("UPDATE", remove + add), ("DELETE", remove)):
            name = f"sealed_{table}_{event.lower()}"
            made.append(f'CREATE TEMP TRIGGER {name} AFTER {event} ON main."{table}" BEGIN {work} END')
    return made
