"""The three levels of store, and the requisitions and transfers between them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "place",
        sa.Column("id", sa.Text(), nullable=False),
        _text("name"),
        _text("name_en"),
        _number("level"),
        _text("parent"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_place")),
    )
    op.create_table(
        "transfer",
        sa.Column("id", sa.Text(), nullable=False),
        _text("kind"),
        _text("source"),
        _text("target"),
        _text("state"),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
        _number("asked_us"),
        _text("asked_by"),
        sa.Column("is_closed", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        _number("version"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer")),
    )
    op.create_index(op.f("ix_transfer_version"), "transfer", ["version"])
    op.create_index(op.f("ix_transfer_asked_us"), "transfer", ["asked_us"])
    op.execute("INSERT INTO meta (key, value) VALUES ('unsealed', '1') ON CONFLICT (key) DO NOTHING")
