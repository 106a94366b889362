"""What counts found, orders that no insurer pays, and who sent what was refused to the insurer again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("is_self_pay", sa.Boolean(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "count_check",
        sa.Column("position", sa.Integer(), nullable=False),
        _text("device"),
        _text("location"),
        _text("product"),
        _number("counted"),
        _number("missing"),
        _number("surplus"),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_count_check")),
    )
    op.create_table(
        "insurer_repair",
        sa.Column("id", sa.Integer(), nullable=False),
        _number("row_id"),
        _text("what"),
        _text("cause"),
        _text("person"),
        _number("at_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_insurer_repair")),
    )
    op.create_index(op.f("ix_insurer_repair_row_id"), "insurer_repair", ["row_id"], unique=False)
    op.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('unsealed', '1')")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
