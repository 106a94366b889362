"""Roles: who may decide and who administers, and every change of a person at the console."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "person_role",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("person", "role")),
        sa.PrimaryKeyConstraint("person", "role", name=op.f("pk_person_role")),
        sqlite_with_rowid=False,
    )
    texts = ("person", "what", "value", "operator", "witness")
    op.create_table(
        "person_change",
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False) for name in texts),
        sa.Column("at_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_change")),
    )
    op.create_index(op.f("ix_person_change_person"), "person_change", ["person"])
