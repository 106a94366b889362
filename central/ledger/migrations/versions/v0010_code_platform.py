"""The code platform: its queue, what it said of packs, and the outer packs of a delivery note."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "platform_task",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("kind"),
        _text("subject"),
        _text("document"),
        _number("position"),
        _text("state"),
        _number("attempts"),
        _text("cause"),
        _number("next_try_us"),
        _number("updated_us"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_task")),
        sa.UniqueConstraint("kind", "subject", name=op.f("uq_platform_task_kind_subject")),
    )
    op.create_index(op.f("ix_platform_task_state_next_try_us"), "platform_task", ["state", "next_try_us"])
    op.create_index(op.f("ix_platform_task_document"), "platform_task", ["document"])
    op.create_table(
        "pack",
        sa.Column("code", sa.Text(), nullable=False),
        _text("parent"),
        _number("level"),
        _text("status"),
        _text("lot"),
        _number("fetched_us"),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_pack")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_pack_parent", "pack", ["parent"], sqlite_where=sa.text("parent != ''"))
    op.add_column("note", sa.Column("packs", sa.LargeBinary(), server_default=sa.text("x'90'"), nullable=False))
    op.execute("INSERT INTO meta (key, value) VALUES ('unsealed', '1') ON CONFLICT (key) DO NOTHING")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
