"""The tables of the ledger. Alembic brings a database to them (``migrations``); the hot path writes them by hand.

Times are UTC microseconds (``_us``), dates ISO text, enums their text, booleans 0 or 1. ``version`` is the commit that
changed the row last: a reader of ``version > n`` can never skip a row, because the commit that sets it is serialised.
"""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=text("''"))


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean(create_constraint=False), nullable=False, server_default=text("0"))


# version: the last commit's; ledger_id: random, made with the ledger; incarnation: which life of the ledger this is;
# lives: JSON of all of them, each with the number of facts that it began with;
# refill_since_us: agents give back what a restored ledger lacks; leases_since_us: it does not know yet what they hold;
# unsealed: a migration changed rows.
meta = Table("meta", metadata, Column("key", Text, primary_key=True, nullable=False), _text("value"))

session = Table(
    "session",
    metadata,
    Column("session", LargeBinary, primary_key=True, nullable=False),
    _text("device"),
    Column("parent_session", LargeBinary, nullable=False),
    _number("parent_seq"),
    Column("parent_hash", LargeBinary, nullable=False),
    _number("started_us"),
    _number("through"),
    Column("head", LargeBinary, nullable=False),
    _number("received_us"),
    _number("safe"),
    Index(None, "device"),
    Index(None, "parent_session"),
)

# What ``ledger/seal.py`` says of all rows, as of the last commit.
seal = Table(
    "seal",
    metadata,
    Column("one", Integer, primary_key=True, nullable=False),
    _number("commits"),
    Column("chain", LargeBinary, nullable=False),
    Column("sums", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

# ``what`` is a sync_protocol.facts.What, or "unreadable" for bytes that are no fact: they are kept all the same.
fact = Table(
    "fact",
    metadata,
    Column("position", Integer, primary_key=True, nullable=False),
    Column("session", LargeBinary, ForeignKey("session.session"), nullable=False),
    Column("seq", Integer, nullable=False),
    _text("device"),
    _text("what"),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    _number("version"),
    _number("received_us"),
    _number("wall_us"),
    _text("operator"),
    _text("document"),
    _text("order_id"),
    UniqueConstraint("session", "seq"),
    Index("ix_fact_document", "document", sqlite_where=text("document != ''")),
    Index("ix_fact_order_id", "order_id", sqlite_where=text("order_id != ''")),
)

fact_code = Table(
    "fact_code",
    metadata,
    Column("code", Text, primary_key=True, nullable=False),
    Column("position", Integer, primary_key=True, nullable=False),
    sqlite_with_rowid=False,
)

item = Table(
    "item",
    metadata,
    Column("code", Text, primary_key=True, nullable=False),
    _text("kind"),
    _text("product"),
    _text("lot"),
    _text("expiry"),
    _text("state"),
    _text("location"),
    _text("document"),
    _text("order_id"),
    _text("holder"),
    _text("box"),
    _number("units"),
    _text("pouch"),
    _text("before"),
    _text("tag"),
    _text("made"),
    _flag("is_controlled"),
    _number("version"),
    Index(None, "version"),
    Index(None, "product", "state", "expiry"),
    Index(None, "location"),
    Index("ix_item_order_id", "order_id", sqlite_where=text("order_id != ''")),
    Index("ix_item_box_state", "box", "state", sqlite_where=text("box != ''")),
)

# The codes of an order are the items with its id.
orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    _text("kind"),
    _text("product"),
    _number("quantity"),
    _text("patient"),
    _text("visit"),
    _text("ward"),
    _text("location"),
    _text("route"),
    _text("state"),
    _number("ordered_us"),
    _text("prescriber"),
    _number("placed_us"),
    _number("dispensed_us"),
    _number("version"),
    Index(None, "version"),
    Index(None, "state", "ordered_us"),
    Index("ix_orders_unmet", "product", sqlite_where=text("state IN ('waiting', 'part_locked')")),
)

# ``lines``: msgpack of tuple[NoteLine, ...]
note = Table(
    "note",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    _text("supplier"),
    _text("location"),
    _text("kind"),
    _text("state"),
    Column("lines", LargeBinary, nullable=False),
    _number("version"),
    Index(None, "version"),
)

# ``body``: msgpack of Product
product = Table(
    "product",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _text("name"),
    _text("name_en"),
    _text("spec"),
    _text("kind"),
    _text("route"),
    _number("units"),
    _text("insurance_code"),
    _text("hospital_code"),
    _flag("is_controlled"),
    _number("version"),
    Index(None, "version"),
)

person = Table(
    "person",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    _text("name"),
    _text("badge"),
    _text("pin"),
    _flag("is_active"),
    _number("version"),
    Index(None, "version"),
)

# What does not fit: a code of a fact (sync_protocol.lifecycle.Reason), or unreadable, chain_conflict, or a finding of
# sync_protocol.machines.lineage.
exception = Table(
    "exception",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    Column("position", Integer, nullable=True),
    _text("device"),
    Column("session", LargeBinary, nullable=False),
    _number("seq"),
    _text("code"),
    _text("what"),
    _text("reason"),
    _text("state"),
    _text("found"),
    _text("expected"),
    _number("raised_us"),
    Column("closed_us", Integer, nullable=True),
    _text("closed_by"),
    Index(None, "session", "seq"),
    Index(None, "code"),
    Index("ix_exception_open", "raised_us", sqlite_where=text("closed_us IS NULL")),
)

# One row per dispensed fact and box: waiting, sending, unknown, accepted, refused. Written in the fact's own commit.
insurer_row = Table(
    "insurer_row",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    _number("position"),
    _text("box"),
    _text("order_id"),
    _number("quantity"),
    _flag("is_split"),
    _text("state"),
    _number("attempts"),
    _text("msgid"),
    Column("request", LargeBinary, nullable=True),
    _text("cause"),
    _number("next_try_us"),
    _number("updated_us"),
    UniqueConstraint("position", "box"),
    Index(None, "state", "next_try_us"),
    Index(None, "order_id"),
)

# One row per message and code; "waiting" until the ledger knows that the piece was taken.
usage = Table(
    "usage",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("code", Text, primary_key=True, nullable=False),
    _text("order_id"),
    _text("patient"),
    _text("operator"),
    _number("wall_us"),
    _text("state"),
    Column("position", Integer, nullable=True),
    _number("received_us"),
    Index("ix_usage_waiting", "code", sqlite_where=text("state = 'waiting'")),
)

# ``facts_waiting``: facts that central heard of and has not committed; ``is_connected``: heard of lately; ``heads``:
# msgpack of dict[bytes, int], how far the device said its sessions were written; ``incarnation``: the last one of this
# ledger that has all the device held.
agent = Table(
    "agent",
    metadata,
    Column("device", Text, primary_key=True, nullable=False),
    _number("last_seen_us"),
    _text("software"),
    _number("schema"),
    _number("replica_version"),
    _number("facts_waiting"),
    Column("clock_offset_us", Integer, nullable=True),
    Column("session", LargeBinary, nullable=True),
    _flag("is_connected"),
    Column("heads", LargeBinary, nullable=True),
    _number("incarnation"),
    _number("recall_version"),
)

# What each agent may issue without asking (REQ-08), as sync_protocol.machines.grants_events.Lease; ``session``: empty
# until its holder has said what it holds; ``heads``: msgpack of dict[bytes, int], facts that are waited for.
lease = Table(
    "lease",
    metadata,
    Column("device", Text, primary_key=True, nullable=False),
    Column("session", LargeBinary, nullable=False),
    _text("location"),
    _text("route"),
    _number("want"),
    _number("expires_us"),
    _number("number"),
    _number("stated"),
    _number("spoken_to"),
    _text("standing"),
    Column("heads", LargeBinary, nullable=False),
)

# One holder a code: the database refuses a second. ``mark``: held, given_up or missing.
leased = Table(
    "leased",
    metadata,
    Column("code", Text, primary_key=True, nullable=False),
    _text("device"),
    _text("product"),
    _number("number"),
    _text("mark"),
    Index(None, "device"),
)

# Verified backups; the facts in them are safe.
backup = Table(
    "backup",
    metadata,
    Column("file", Text, primary_key=True, nullable=False),
    _text("sha256"),
    _number("taken_us"),
    _number("version"),
    _number("facts"),
    _number("incarnation"),
    _number("bytes"),
)

# One row per recall ever issued. ``version``: of the recall set that changed it last; ``codes``: msgpack of
# tuple[str, ...]; ``given_back_by``: the agent from which a restored central has it; ``is_settled``: its items are
# frozen, or released again.
recall = Table(
    "recall",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    _number("version"),
    _text("product"),
    _text("lot"),
    Column("codes", LargeBinary, nullable=False),
    _text("reason"),
    _number("issued_us"),
    _text("issued_by"),
    _text("witness"),
    _flag("is_active"),
    _number("lifted_us"),
    _text("lifted_by"),
    _text("lift_witness"),
    _text("lift_reason"),
    _text("given_back_by"),
    _flag("is_settled"),
    Index("ix_recall_unsettled", "is_settled", sqlite_where=text("is_settled = 0")),
)

# The set in force, as signed: one row.
recall_set = Table(
    "recall_set",
    metadata,
    Column("one", Integer, primary_key=True, nullable=False),
    _number("version"),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

# When an agent said that it holds a recall set, by version of the set.
recall_confirm = Table(
    "recall_confirm",
    metadata,
    Column("device", Text, primary_key=True, nullable=False),
    Column("version", Integer, primary_key=True, nullable=False),
    _number("confirmed_us"),
    sqlite_with_rowid=False,
)

# Public keys by which devices are known, or wish to be: ``state`` is waiting, accepted (one a device) or revoked.
# ``operator`` and ``witness``: who decided so; nobody where ``[sync] enrolment`` is open.
device_key = Table(
    "device_key",
    metadata,
    Column("device", Text, primary_key=True, nullable=False),
    Column("key", LargeBinary, primary_key=True, nullable=False),
    _text("state"),
    _number("seen_us"),
    _number("decided_us"),
    _text("operator"),
    _text("witness"),
)

# Facts that came before older ones of their device, until these are in the ledger (``sync_protocol.machines.early``).
early = Table(
    "early",
    metadata,
    Column("session", LargeBinary, primary_key=True, nullable=False),
    Column("seq", Integer, primary_key=True, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
