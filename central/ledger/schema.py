"""The tables of the ledger. Alembic brings a database to them (``migrations``); the hot path writes them by hand.

Times are UTC microseconds (``_us``), dates ISO text, enums their text, booleans 0 or 1. ``version`` is the commit that
changed the row last: a reader of ``version > n`` can never skip a row, because the commit that sets it is serialised.
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, text

from central.ledger.columns import flag_column, metadata, number_column, text_column
from central.ledger.schema_moves import place, transfer
from central.ledger.schema_people import person_change, person_role
from central.ledger.schema_platform import insurer_repair, insurer_row, pack, platform_task
from central.ledger.schema_stock import (
    count_sheet,
    par_change,
    par_level,
    replenishment,
    stocktake,
    stocktake_count,
    stocktake_line,
)
from central.ledger.schema_sync import agent, backup, device_key, drift, early, recall, recall_confirm, recall_set

__all__ = [
    "agent",
    "backup",
    "count_check",
    "count_sheet",
    "device_key",
    "drift",
    "early",
    "exception",
    "fact",
    "insurer_repair",
    "insurer_row",
    "item",
    "meta",
    "metadata",
    "note",
    "orders",
    "pack",
    "par_change",
    "par_level",
    "person",
    "person_change",
    "person_role",
    "place",
    "platform_task",
    "product",
    "recall",
    "recall_confirm",
    "recall_set",
    "replenishment",
    "run",
    "seal",
    "session",
    "stocktake",
    "stocktake_count",
    "stocktake_line",
    "transfer",
    "usage",
]

# version: the last commit's; ledger_id: random, made with the ledger; incarnation: which life of the ledger this is;
# lives: JSON of all of them, each with the number of facts that it began with;
# refill_since_us: agents give back what a restored ledger lacks; leases_since_us: it does not know yet what they hold;
# unsealed: a migration changed rows.
meta = Table("meta", metadata, Column("key", Text, primary_key=True, nullable=False), text_column("value"))

session = Table(
    "session",
    metadata,
    Column("session", LargeBinary, primary_key=True, nullable=False),
    text_column("device"),
    Column("parent_session", LargeBinary, nullable=False),
    number_column("parent_seq"),
    Column("parent_hash", LargeBinary, nullable=False),
    number_column("started_us"),
    number_column("through"),
    Column("head", LargeBinary, nullable=False),
    number_column("received_us"),
    number_column("safe"),
    Index(None, "device"),
    Index(None, "parent_session"),
)

# What ``ledger/seal.py`` says of all rows, as of the last commit.
seal = Table(
    "seal",
    metadata,
    Column("one", Integer, primary_key=True, nullable=False),
    number_column("commits"),
    Column("chain", LargeBinary, nullable=False),
    Column("sums", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

# Positions have no gap, and versions rise with them. ``what`` is a sync_protocol.facts.What, or "unreadable" for bytes
# that are no fact: they are kept all the same. ``before``: JSON of where the life of its codes goes on backwards, see
# ``ledger/lives.py``. No index by session: ``run`` leads to a fact of one.
fact = Table(
    "fact",
    metadata,
    Column("position", Integer, primary_key=True, nullable=False),
    Column("session", LargeBinary, ForeignKey("session.session"), nullable=False),
    Column("seq", Integer, nullable=False),
    text_column("device"),
    text_column("what"),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    number_column("version"),
    number_column("received_us"),
    number_column("wall_us"),
    text_column("operator"),
    text_column("document"),
    text_column("order_id"),
    Column("before", Text, nullable=False, server_default=text("'0'")),
    Index("ix_fact_document", "document", sqlite_where=text("document != ''")),
    Index("ix_fact_order_id", "order_id", sqlite_where=text("order_id != ''")),
)

# Facts of a session that follow each other in the ledger: fact ``first_seq`` stands at ``position``.
run = Table(
    "run",
    metadata,
    Column("session", LargeBinary, primary_key=True, nullable=False),
    Column("first_seq", Integer, primary_key=True, nullable=False),
    number_column("position"),
    sqlite_with_rowid=False,
)

# ``last_position``: of the last fact that it fits. Every state change rewrites the row, so no index but that of what
# is free has a column that changes with the state; which rows a version changed is told by its facts.
item = Table(
    "item",
    metadata,
    Column("code", Text, primary_key=True, nullable=False),
    text_column("kind"),
    text_column("product"),
    text_column("lot"),
    text_column("expiry"),
    text_column("state"),
    text_column("location"),
    text_column("document"),
    text_column("order_id"),
    text_column("holder"),
    text_column("box"),
    number_column("units"),
    text_column("pouch"),
    text_column("before"),
    text_column("tag"),
    text_column("made"),
    flag_column("is_controlled"),
    number_column("version"),
    number_column("last_position"),
    Index(None, "product", "lot"),
    Index(None, "location"),
    Index("ix_item_order_id", "order_id", sqlite_where=text("order_id != ''")),
    Index("ix_item_box", "box", sqlite_where=text("box != ''")),
    Index("ix_item_free", "product", "location", "expiry", sqlite_where=text("state = 'in_stock' AND kind != 'piece'")),
    Index("ix_item_aside", "state", "code", sqlite_where=text("state IN ('frozen', 'lent')")),
    sqlite_with_rowid=False,
)

# The codes of an order are the items with its id. ``is_self_pay``: no insurer pays, so none is told.
orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    text_column("kind"),
    text_column("product"),
    number_column("quantity"),
    text_column("patient"),
    text_column("visit"),
    text_column("ward"),
    text_column("location"),
    text_column("route"),
    text_column("state"),
    number_column("ordered_us"),
    text_column("prescriber"),
    number_column("placed_us"),
    number_column("dispensed_us"),
    number_column("version"),
    flag_column("is_self_pay"),
    Index(None, "version"),
    Index(None, "state", "ordered_us"),
    Index("ix_orders_unmet", "product", sqlite_where=text("state IN ('waiting', 'part_locked')")),
)

# ``lines``: msgpack of tuple[NoteLine, ...]; ``packs``: of tuple[Pack, ...]
note = Table(
    "note",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    text_column("supplier"),
    text_column("location"),
    text_column("kind"),
    text_column("state"),
    Column("lines", LargeBinary, nullable=False),
    number_column("version"),
    Column("packs", LargeBinary, nullable=False, server_default=text("x'90'")),
    Index(None, "version"),
)

# ``body``: msgpack of Product
product = Table(
    "product",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("body", LargeBinary, nullable=False),
    text_column("name"),
    text_column("name_en"),
    text_column("spec"),
    text_column("kind"),
    text_column("route"),
    number_column("units"),
    text_column("insurance_code"),
    text_column("hospital_code"),
    flag_column("is_controlled"),
    number_column("version"),
    Index(None, "version"),
)

person = Table(
    "person",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    text_column("name"),
    text_column("badge"),
    text_column("pin"),
    flag_column("is_active"),
    number_column("version"),
    Index(None, "version"),
)

# What does not fit: a code of a fact (sync_protocol.lifecycle.Reason), or unreadable, chain_conflict, or a finding of
# sync_protocol.machines.lineage.
exception = Table(
    "exception",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    Column("position", Integer, nullable=True),
    text_column("device"),
    Column("session", LargeBinary, nullable=False),
    number_column("seq"),
    text_column("code"),
    text_column("what"),
    text_column("reason"),
    text_column("state"),
    text_column("found"),
    text_column("expected"),
    number_column("raised_us"),
    Column("closed_us", Integer, nullable=True),
    text_column("closed_by"),
    Index(None, "session", "seq"),
    Index(None, "code"),
    Index("ix_exception_open", "raised_us", sqlite_where=text("closed_us IS NULL")),
)

# A count against the book of its moment; ``position``: of its last fact. See ``stock/counts.py``.
count_check = Table(
    "count_check",
    metadata,
    Column("position", Integer, primary_key=True, nullable=False),
    text_column("device"),
    text_column("location"),
    text_column("product"),
    number_column("counted"),
    number_column("missing"),
    number_column("surplus"),
)

# One row per message and code; "waiting" until the ledger knows that the piece was taken.
usage = Table(
    "usage",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("code", Text, primary_key=True, nullable=False),
    text_column("order_id"),
    text_column("patient"),
    text_column("operator"),
    number_column("wall_us"),
    text_column("state"),
    Column("position", Integer, nullable=True),
    number_column("received_us"),
    Index("ix_usage_waiting", "code", sqlite_where=text("state = 'waiting'")),
)
