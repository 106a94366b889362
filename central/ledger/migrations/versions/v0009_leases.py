"""Leases: what each agent may issue without asking, one holder a code."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("session", sa.LargeBinary(), nullable=False),
        _text("location"),
        _text("route"),
        _number("want"),
        _number("expires_us"),
        _number("number"),
        _number("stated"),
        _number("spoken_to"),
        _text("standing"),
        sa.Column("heads", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_lease")),
    )
    op.create_table(
        "leased",
        sa.Column("code", sa.Text(), nullable=False),
        _text("device"),
        _text("product"),
        _number("number"),
        _text("mark"),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_leased")),
    )
    op.create_index(op.f("ix_leased_device"), "leased", ["device"])
    op.execute("INSERT INTO meta (key, value) VALUES ('unsealed', '1') ON CONFLICT (key) DO NOTHING")
