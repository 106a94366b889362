"""Fewer indexes: facts lead back along the life of their codes, runs to the facts of a session.

Two tables are written anew, because SQLite can take a constraint from none. The seal's chain is another, and items are
kept by their codes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_FACT = "position, session, seq, device, what, body, hash, version, received_us, wall_us, operator, document, order_id"
_ITEM = (
    "code, kind, product, lot, expiry, state, location, document, order_id, holder, box, units, pouch, before, tag, "
    "made, is_controlled, version"
)
_LINK = (
    "CREATE TEMP TABLE link (position INTEGER, code TEXT, before INTEGER NOT NULL, is_of_life INTEGER NOT NULL, "
    "PRIMARY KEY (position, code)) WITHOUT ROWID"
)
# A fact about a code that had no item yet is not part of its life.
_OF_LIFE = """
    INSERT INTO link SELECT position, code, lag(position, 1, 0) OVER (PARTITION BY code ORDER BY position), 1
    FROM fact_code JOIN item USING (code)
    WHERE NOT EXISTS (
        SELECT 1 FROM exception WHERE exception.code = fact_code.code AND exception.position = fact_code.position
        AND exception.reason = 'unknown_code'
    )
"""
_OTHERS = "INSERT OR IGNORE INTO link SELECT position, code, 0, 0 FROM fact_code"
_LAST = "CREATE TEMP TABLE last AS SELECT code, max(position) AS position FROM link WHERE is_of_life GROUP BY code"
_BEFORE = """
    CREATE TEMP TABLE way AS SELECT position,
    CASE WHEN min(before) = max(before) THEN min(before) ELSE json_group_object(code, before) END AS before
    FROM (SELECT position, code, before FROM link ORDER BY position, code) GROUP BY position
"""


def upgrade() -> None:
    for statement in (_LINK, _OF_LIFE, _OTHERS, _LAST, _BEFORE):
        op.execute(statement)
    op.execute("CREATE UNIQUE INDEX temp.ix_last ON last (code)")
    op.execute("CREATE UNIQUE INDEX temp.ix_way ON way (position)")
    _renew_facts()
    _renew_items()
    op.create_table(
        "run",
        sa.Column("session", sa.LargeBinary(), nullable=False),
        sa.Column("first_seq", sa.Integer(), nullable=False),
        _number("position"),
        sa.PrimaryKeyConstraint("session", "first_seq", name=op.f("pk_run")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO run (session, first_seq, position) "
        "SELECT session, min(seq), min(position) FROM fact GROUP BY session, position - seq"
    )
    op.drop_table("fact_code")
    for table in ("link", "last", "way"):
        op.execute(f"DROP TABLE temp.{table}")
    op.execute("INSERT INTO meta (key, value) VALUES ('unsealed', '1') ON CONFLICT (key) DO NOTHING")


def _renew_facts() -> None:
    op.drop_index("ix_fact_document", "fact")
    op.drop_index("ix_fact_order_id", "fact")
    op.rename_table("fact", "fact_before")
    op.create_table(
        "fact",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("session", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        _text("device"),
        _text("what"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        _number("version"),
        _number("received_us"),
        _number("wall_us"),
        _text("operator"),
        _text("document"),
        _text("order_id"),
        sa.Column("before", sa.Text(), server_default=sa.text("'0'"), nullable=False),
        sa.ForeignKeyConstraint(["session"], ["session.session"], name=op.f("fk_fact_session")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_fact")),
    )
    op.execute(
        f"INSERT INTO fact ({_FACT}, before) SELECT {_FACT}, coalesce(way.before, '0') "  # noqa: S608 -- constants
        "FROM fact_before LEFT JOIN way USING (position) ORDER BY position"
    )
    op.drop_table("fact_before")
    op.create_index("ix_fact_document", "fact", ["document"], unique=False, sqlite_where=sa.text("document != ''"))
    op.create_index("ix_fact_order_id", "fact", ["order_id"], unique=False, sqlite_where=sa.text("order_id != ''"))


def _renew_items() -> None:
    for index in ("box_state", "location", "order_id", "product_state_expiry", "version"):
        op.drop_index(f"ix_item_{index}", "item")
    op.rename_table("item", "item_before")
    names = ("kind", "product", "lot", "expiry", "state", "location", "document", "order_id", "holder", "box")
    op.create_table(
        "item",
        sa.Column("code", sa.Text(), nullable=False),
        *(_text(name) for name in names),
        _number("units"),
        *(_text(name) for name in ("pouch", "before", "tag", "made")),
        sa.Column("is_controlled", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        _number("version"),
        _number("last_position"),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_item")),
        sqlite_with_rowid=False,
    )
    op.execute(
        f"INSERT INTO item ({_ITEM}, last_position) "  # noqa: S608 -- constants
        f"SELECT {_ITEM}, coalesce(last.position, 0) FROM item_before LEFT JOIN last USING (code) ORDER BY code"
    )
    op.drop_table("item_before")
    op.create_index("ix_item_box", "item", ["box"], unique=False, sqlite_where=sa.text("box != ''"))
    op.create_index(
        "ix_item_free",
        "item",
        ["product", "location", "expiry"],
        unique=False,
        sqlite_where=sa.text("state = 'in_stock' AND kind != 'piece'"),
    )
    op.create_index(op.f("ix_item_location"), "item", ["location"], unique=False)
    op.create_index("ix_item_order_id", "item", ["order_id"], unique=False, sqlite_where=sa.text("order_id != ''"))
    op.create_index(op.f("ix_item_product_lot"), "item", ["product", "lot"], unique=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
