"""Base stock: how much each place should have, every change of that, and what was requested to fill it up."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "par_level",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("location", "product")),
        _number("quantity"),
        _text("set_by"),
        _number("set_us"),
        sa.PrimaryKeyConstraint("location", "product", name=op.f("pk_par_level")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "par_change",
        sa.Column("id", sa.Integer(), nullable=False),
        *(_text(name) for name in ("location", "product")),
        *(_number(name) for name in ("before", "after")),
        _text("person"),
        _number("at_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_par_change")),
    )
    op.create_index(op.f("ix_par_change_location_product"), "par_change", ["location", "product"])
    op.create_table(
        "replenishment",
        sa.Column("id", sa.Integer(), nullable=False),
        *(_text(name) for name in ("location", "product")),
        *(_number(name) for name in ("quantity", "arrived")),
        *(_text(name) for name in ("state", "asked_by")),
        _number("asked_us"),
        _text("ended_by"),
        _number("ended_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replenishment")),
    )
    op.create_index(op.f("ix_replenishment_location_product_state"), "replenishment", ["location", "product", "state"])
    op.execute("INSERT INTO meta (key, value) VALUES ('unsealed', '1') ON CONFLICT (key) DO NOTHING")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
