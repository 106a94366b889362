"""The tables of sync: agents and their keys, backups, recalls, facts that came early, drift. See ``schema``."""

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text, text

from central.ledger.columns import flag_column, metadata, number_column, text_column

# ``facts_waiting``: facts that central heard of and has not committed; ``is_connected``: heard of lately; ``heads``:
# msgpack of dict[bytes, int], how far the device said its sessions were written; ``incarnation``: the last one of this
# ledger that has all the device held.
agent = Table(
    "agent",
    metadata,
    Column("device", Text, primary_key=True, nullable=False),
    number_column("last_seen_us"),
    text_column("software"),
    number_column("schema"),
    number_column("replica_version"),
    number_column("facts_waiting"),
    Column("clock_offset_us", Integer, nullable=True),
    Column("session", LargeBinary, nullable=True),
    flag_column("is_connected"),
    Column("heads", LargeBinary, nullable=True),
    number_column("incarnation"),
    number_column("recall_version"),
)

# What each agent may issue without asking (REQ-08), as sync_protocol.machines.grants_events.Lease; ``session``: empty
# until its holder has said what it holds; ``heads``: msgpack of dict[bytes, int], facts that are waited for.
lease = Table(
    "lease",
    metadata,
    Column("device", Text, primary_key=True, nullable=False),
    Column("session", LargeBinary, nullable=False),
    text_column("location"),
    text_column("route"),
    number_column("want"),
    number_column("expires_us"),
    number_column("number"),
    number_column("stated"),
    number_column("spoken_to"),
    text_column("standing"),
    Column("heads", LargeBinary, nullable=False),
)

# One holder a code: the database refuses a second. ``mark``: held, doubted, given_up or missing.
leased = Table(
    "leased",
    metadata,
    Column("code", Text, primary_key=True, nullable=False),
    text_column("device"),
    text_column("product"),
    number_column("number"),
    text_column("mark"),
    Index(None, "device"),
)

# Verified backups; the facts in them are safe.
backup = Table(
    "backup",
    metadata,
    Column("file", Text, primary_key=True, nullable=False),
    text_column("sha256"),
    number_column("taken_us"),
    number_column("version"),
    number_column("facts"),
    number_column("incarnation"),
    number_column("bytes"),
)

# One row per recall ever issued. ``version``: of the recall set that changed it last; ``codes``: msgpack of
# tuple[str, ...]; ``given_back_by``: the agent from which a restored central has it; ``is_settled``: its items are
# frozen, or released again.
recall = Table(
    "recall",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    number_column("version"),
    text_column("product"),
    text_column("lot"),
    Column("codes", LargeBinary, nullable=False),
    text_column("reason"),
    number_column("issued_us"),
    text_column("issued_by"),
    text_column("witness"),
    flag_column("is_active"),
    number_column("lifted_us"),
    text_column("lifted_by"),
    text_column("lift_witness"),
    text_column("lift_reason"),
    text_column("given_back_by"),
    flag_column("is_settled"),
    Index("ix_recall_unsettled", "is_settled", sqlite_where=text("is_settled = 0")),
)

# The set in force, as signed: one row.
recall_set = Table(
    "recall_set",
    metadata,
    Column("one", Integer, primary_key=True, nullable=False),
    number_column("version"),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

# When an agent said that it holds a recall set, by version of the set.
recall_confirm = Table(
    "recall_confirm",
    metadata,
    Column("device", Text, primary_key=True, nullable=False),
    Column("version", Integer, primary_key=True, nullable=False),
    number_column("confirmed_us"),
    sqlite_with_rowid=False,
)

# Public keys by which devices are known, or wish to be: ``state`` is waiting, accepted (one a device) or revoked.
# ``operator`` and ``witness``: who decided so; nobody where ``[sync] enrolment`` is open.
device_key = Table(
    "device_key",
    metadata,
    Column("device", Text, primary_key=True, nullable=False),
    Column("key", LargeBinary, primary_key=True, nullable=False),
    text_column("state"),
    number_column("seen_us"),
    number_column("decided_us"),
    text_column("operator"),
    text_column("witness"),
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

# One row per time that a replica was found to differ; ``items``: put right, -1: so many that all was copied anew.
drift = Table(
    "drift",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    text_column("device"),
    number_column("found_us"),
    number_column("version"),
    number_column("items"),
    Index(None, "device", "found_us"),
)
