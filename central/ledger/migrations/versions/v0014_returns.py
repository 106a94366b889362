"""The insurer is told of what came back, too: also of what did before, whose sales it was told."""

from collections import Counter

import sqlalchemy as sa
from alembic import op

from sync_protocol.codec import decode_fact
from sync_protocol.subcode import MARK

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ANY = "SELECT 1 FROM fact WHERE what = 'returned' LIMIT 1"
_FACTS = "SELECT position, what, body, received_us FROM fact WHERE what IN ('dispensed', 'returned') ORDER BY position"
# What was handed out although it was recalled did happen.
_MISFITS = (
    "SELECT position, code FROM exception WHERE what IN ('dispensed', 'returned') AND reason != 'recalled' "
    "AND position IS NOT NULL"
)
_SOLD = "SELECT position, box, order_id FROM insurer_row"
_ADD = (
    "INSERT INTO insurer_row (position, box, order_id, quantity, is_split, is_return, state, updated_us) "
    "VALUES (?, ?, ?, ?, ?, 1, 'waiting', ?)"
)


def upgrade() -> None:
    op.add_column("insurer_row", sa.Column("is_return", sa.Boolean(), server_default=sa.text("0"), nullable=False))
    connection = op.get_bind()
    if connection.exec_driver_sql(_ANY).first() and (returned := _returned(connection)):
        connection.exec_driver_sql(_ADD, returned)
    op.create_index("ix_insurer_row_returned", "insurer_row", ["box"], sqlite_where=sa.text("is_return"))
    op.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('unsealed', '1')")


def _returned(connection: sa.Connection) -> list[tuple[int | str | bool, ...]]:
    sold = {(position, box): order for position, box, order in connection.exec_driver_sql(_SOLD)}
    misfits = {(position, code) for position, code in connection.exec_driver_sql(_MISFITS)}
    orders: dict[str, str] = {}
    rows: list[tuple[int | str | bool, ...]] = []
    for position, what, body, received_us in connection.exec_driver_sql(_FACTS):
        codes = [code for code in decode_fact(body).codes if (position, code) not in misfits]
        if what == "dispensed":
            keys = ((code, (position, _box(code))) for code in codes)
            orders.update((code, sold[key]) for code, key in keys if key in sold)
            continue
        back = [code for code in codes if code in orders]
        order = {_box(code): orders[code] for code in back}
        split = {_box(code): MARK in code for code in back}
        count = Counter(_box(code) for code in back)
        rows += [(position, box, order[box], count[box], split[box], received_us) for box in order]
    return rows


def _box(code: str) -> str:
    return code.partition(MARK)[0]
