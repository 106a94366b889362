"""The first released schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_facts()
    _create_items()
    _create_documents()
    _create_queues()


def _create_facts() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "session",
        sa.Column("session", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("parent_session", sa.LargeBinary(), nullable=False),
        sa.Column("parent_seq", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("parent_hash", sa.LargeBinary(), nullable=False),
        sa.Column("started_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("through", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("received_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_session")),
    )
    op.create_index(op.f("ix_session_device"), "session", ["device"], unique=False)
    op.create_index(op.f("ix_session_parent_session"), "session", ["parent_session"], unique=False)
    op.create_table(
        "fact",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("session", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("what", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("received_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("wall_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("operator", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("document", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("order_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.ForeignKeyConstraint(["session"], ["session.session"], name=op.f("fk_fact_session")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_fact")),
        sa.UniqueConstraint("session", "seq", name=op.f("uq_fact_session_seq")),
    )
    op.create_index("ix_fact_document", "fact", ["document"], unique=False, sqlite_where=sa.text("document != ''"))
    op.create_index("ix_fact_order_id", "fact", ["order_id"], unique=False, sqlite_where=sa.text("order_id != ''"))
    op.create_table(
        "fact_code",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("code", "position", name=op.f("pk_fact_code")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "exception",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("device", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("session", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("what", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("found", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("expected", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("raised_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("closed_us", sa.Integer(), nullable=True),
        sa.Column("closed_by", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exception")),
    )
    op.create_index(op.f("ix_exception_code"), "exception", ["code"], unique=False)
    op.create_index(
        "ix_exception_open", "exception", ["raised_us"], unique=False, sqlite_where=sa.text("closed_us IS NULL")
    )
    op.create_index(op.f("ix_exception_session_seq"), "exception", ["session", "seq"], unique=False)


def _create_items() -> None:
    op.create_table(
        "item",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("product", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("lot", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("expiry", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("location", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("document", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("order_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("holder", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("box", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("pouch", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("before", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("tag", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("made", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("is_controlled", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_item")),
    )
    op.create_index("ix_item_box_state", "item", ["box", "state"], unique=False, sqlite_where=sa.text("box != ''"))
    op.create_index(op.f("ix_item_location"), "item", ["location"], unique=False)
    op.create_index("ix_item_order_id", "item", ["order_id"], unique=False, sqlite_where=sa.text("order_id != ''"))
    op.create_index(op.f("ix_item_product_state_expiry"), "item", ["product", "state", "expiry"], unique=False)
    op.create_index(op.f("ix_item_version"), "item", ["version"], unique=False)
    op.create_table(
        "orders",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("product", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("quantity", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("patient", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("visit", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("ward", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("location", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("route", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("ordered_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("prescriber", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("placed_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("dispensed_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_state_ordered_us"), "orders", ["state", "ordered_us"], unique=False)
    op.create_index(
        "ix_orders_unmet",
        "orders",
        ["product"],
        unique=False,
        sqlite_where=sa.text("state IN ('waiting', 'part_locked')"),
    )
    op.create_index(op.f("ix_orders_version"), "orders", ["version"], unique=False)


def _create_documents() -> None:
    op.create_table(
        "note",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("supplier", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("location", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note")),
    )
    op.create_index(op.f("ix_note_version"), "note", ["version"], unique=False)
    op.create_table(
        "product",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("name_en", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("spec", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("kind", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("route", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("units", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("insurance_code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("hospital_code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("is_controlled", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product")),
    )
    op.create_index(op.f("ix_product_version"), "product", ["version"], unique=False)
    op.create_table(
        "person",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("badge", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("pin", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    op.create_index(op.f("ix_person_version"), "person", ["version"], unique=False)
    op.create_table(
        "usage",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("patient", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("operator", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("wall_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("received_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", "code", name=op.f("pk_usage")),
    )
    op.create_index("ix_usage_waiting", "usage", ["code"], unique=False, sqlite_where=sa.text("state = 'waiting'"))


def _create_queues() -> None:
    op.create_table(
        "insurer_row",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("box", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("order_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("quantity", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_split", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("msgid", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("cause", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("next_try_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_insurer_row")),
        sa.UniqueConstraint("position", "box", name=op.f("uq_insurer_row_position_box")),
    )
    op.create_index(op.f("ix_insurer_row_order_id"), "insurer_row", ["order_id"], unique=False)
    op.create_index(op.f("ix_insurer_row_state_next_try_us"), "insurer_row", ["state", "next_try_us"], unique=False)
    op.create_table(
        "agent",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("last_seen_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("software", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("schema", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("replica_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("facts_waiting", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("clock_offset_us", sa.Integer(), nullable=True),
        sa.Column("session", sa.LargeBinary(), nullable=True),
        sa.Column("is_connected", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_agent")),
    )
