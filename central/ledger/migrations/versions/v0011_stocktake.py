"""Stocktakes: their sheets, what workplaces know of these, their lines, and each count by hand."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stocktake",
        sa.Column("id", sa.Integer(), nullable=False),
        *(_text(name) for name in ("location", "products", "opened_by")),
        _number("opened_us"),
        *(_text(name) for name in ("closed_by", "witness", "reason")),
        _number("closed_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stocktake")),
    )
    op.create_table(
        "count_sheet",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        _number("version"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_count_sheet")),
    )
    op.create_index(op.f("ix_count_sheet_version"), "count_sheet", ["version"])
    op.create_table(
        "stocktake_line",
        sa.Column("sheet", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("location", "product", "kind")),
        _text("state"),
        _number("position"),
        *(_text(name) for name in ("posted_by", "witness", "reason")),
        _number("posted_us"),
        sa.PrimaryKeyConstraint("sheet", "location", "product", "kind", name=op.f("pk_stocktake_line")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "stocktake_count",
        sa.Column("position", sa.Integer(), nullable=False),
        _number("sheet"),
        *(_text(name) for name in ("location", "product", "kind", "operator", "device")),
        *(_number(name) for name in ("at_us", "objects", "scanned", "book")),
        *(_text(name) for name in ("missing", "surplus")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_stocktake_count")),
    )
    op.create_index(op.f("ix_stocktake_count_sheet_product"), "stocktake_count", ["sheet", "product"])
    op.execute("INSERT INTO meta (key, value) VALUES ('unsealed', '1') ON CONFLICT (key) DO NOTHING")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
