"""The seal over all rows, backups and what is safe in them, and what central knows of each agent's journal.

A migration that changes rows writes ``unsealed`` into ``meta``: the next start seals what it finds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seal",
        sa.Column("one", sa.Integer(), nullable=False),
        sa.Column("commits", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("sums", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_seal")),
    )
    op.create_table(
        "backup",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("taken_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("facts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("incarnation", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("bytes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("file", name=op.f("pk_backup")),
    )
    op.add_column("session", sa.Column("safe", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("agent", sa.Column("heads", sa.LargeBinary(), nullable=True))
    op.add_column("agent", sa.Column("incarnation", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.execute("INSERT INTO meta (key, value) VALUES ('unsealed', '1')")
