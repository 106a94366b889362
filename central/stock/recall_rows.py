"""Rows of the recall table, and the set that is signed."""

from collections.abc import Iterable
from typing import Any

import msgspec

from central.ledger.transaction import Transaction
from sync_protocol.recalls import Recall

_COLUMNS = (
    "id, version, product, lot, codes, reason, issued_us, issued_by, witness, is_active, lifted_us, lifted_by, "
    "lift_witness, lift_reason, given_back_by, is_settled"
)
ALL = f"SELECT {_COLUMNS} FROM recall ORDER BY issued_us, id"  # noqa: S608 - constants
UNSETTLED = f"SELECT {_COLUMNS} FROM recall WHERE is_settled = 0 ORDER BY issued_us, id"  # noqa: S608 - constants
_ONE = f"SELECT {_COLUMNS} FROM recall WHERE id = ?"  # noqa: S608 - constants
_WRITE = (
    f"INSERT OR REPLACE INTO recall ({_COLUMNS}) "  # noqa: S608 - constants
    f"VALUES ({', '.join('?' * len(_COLUMNS.split(', ')))})"
)
_SETTLE = "UPDATE recall SET is_settled = 1 WHERE id = ?"
READ_SET = "SELECT version, body, signature FROM recall_set"
WRITE_SET = "INSERT OR REPLACE INTO recall_set (one, version, body, signature) VALUES (1, ?, ?, ?)"

_encode = msgspec.msgpack.Encoder().encode
decode_codes = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A recall as the ledger has it. ``is_settled``: its items are frozen, or released again."""

    id: str
    version: int
    product: str
    lot: str = ""
    codes: tuple[str, ...] = ()
    reason: str = ""
    issued_us: int = 0
    issued_by: str = ""
    witness: str = ""
    is_active: bool = True
    lifted_us: int = 0
    lifted_by: str = ""
    lift_witness: str = ""
    lift_reason: str = ""
    given_back_by: str = ""
    is_settled: bool = False

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> "Row":
        values = dict(zip(cls.__struct_fields__, row, strict=True))
        flags = {name: bool(values[name]) for name in ("is_active", "is_settled")}
        return cls(**values | flags | {"codes": decode_codes(values["codes"])})

    def to_recall(self) -> Recall:
        """As it stands in the set. Of a lifted one the codes are left out: it covers nothing any more."""
        return Recall(
            id=self.id,
            version=self.version,
            product=self.product,
            lot=self.lot,
            codes=self.codes if self.is_active else (),
            reason=self.reason,
            issued_us=self.issued_us,
            is_active=self.is_active,
        )


def find(transaction: Transaction, recall_id: str) -> list[Row]:
    return [Row.of(row) for row in transaction.select(_ONE, (recall_id,))]


def given_back(recall: Recall, known: Row | None, device: str) -> Row:
    """The row of a recall that an agent gave back; who issued it is only known where the ledger still knows."""
    row = known or Row(id=recall.id, version=0, product=recall.product, given_back_by=device)
    return msgspec.structs.replace(
        row,
        version=recall.version,
        product=recall.product,
        lot=recall.lot,
        codes=recall.codes if recall.is_active else row.codes,
        reason=recall.reason,
        issued_us=recall.issued_us,
        is_active=recall.is_active,
        is_settled=False,
    )


def write(transaction: Transaction, rows: Iterable[Row]) -> None:
    values = [msgspec.structs.asdict(row) | {"codes": _encode(row.codes)} for row in rows]
    transaction.execute(_WRITE, [tuple(value.values()) for value in values])


def settle(transaction: Transaction, recall_id: str) -> None:
    transaction.execute(_SETTLE, [(recall_id,)])
