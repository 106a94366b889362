"""Recalls, the signed set of them, and which agent has confirmed which set."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recall",
        sa.Column("id", sa.Text(), nullable=False),
        _number("version"),
        _text("product"),
        _text("lot"),
        sa.Column("codes", sa.LargeBinary(), nullable=False),
        _text("reason"),
        _number("issued_us"),
        _text("issued_by"),
        _text("witness"),
        _flag("is_active"),
        _number("lifted_us"),
        _text("lifted_by"),
        _text("lift_witness"),
        _text("lift_reason"),
        _text("given_back_by"),
        _flag("is_settled"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recall")),
    )
    op.create_index(
        "ix_recall_unsettled", "recall", ["is_settled"], unique=False, sqlite_where=sa.text("is_settled = 0")
    )
    op.create_table(
        "recall_set",
        sa.Column("one", sa.Integer(), nullable=False),
        _number("version"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_recall_set")),
    )
    op.create_table(
        "recall_confirm",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        _number("confirmed_us"),
        sa.PrimaryKeyConstraint("device", "version", name=op.f("pk_recall_confirm")),
        sqlite_with_rowid=False,
    )
    op.add_column("agent", _number("recall_version"))


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("0"), nullable=False)
