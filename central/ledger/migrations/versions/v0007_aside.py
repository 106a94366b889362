"""An index of what lies aside: frozen items and loans are few, and their pages are open all day."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_item_aside", "item", ["state", "code"], sqlite_where=sa.text("state IN ('frozen', 'lent')"))
