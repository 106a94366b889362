"""Keys by which devices are known, and facts that wait for older ones."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_key",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("seen_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("decided_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("operator", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("witness", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("device", "key", name=op.f("pk_device_key")),
    )
    op.create_table(
        "early",
        sa.Column("session", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("session", "seq", name=op.f("pk_early")),
        sqlite_with_rowid=False,
    )
