"""The tables of the connectors to the platforms of others: the insurer, the code platform. See ``schema``."""

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text

from central.ledger.columns import flag_column, metadata, number_column, text_column

# What is to be asked or told. ``kind`` relation: the packs of the note ``subject``; receipt: the bill ``subject``
# of the received fact at ``position``. ``document``: the note. States: ``connectors/platform_queue.py``.
platform_task = Table(
    "platform_task",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    text_column("kind"),
    text_column("subject"),
    text_column("document"),
    number_column("position"),
    text_column("state"),
    number_column("attempts"),
    text_column("cause"),
    number_column("next_try_us"),
    number_column("updated_us"),
    UniqueConstraint("kind", "subject"),
    Index(None, "state", "next_try_us"),
    Index(None, "document"),
)

# What the platform said of a pack. ``level`` 1: a box; 0: the platform does not know the code.
pack = Table(
    "pack",
    metadata,
    Column("code", Text, primary_key=True, nullable=False),
    text_column("parent"),
    number_column("level"),
    text_column("status"),
    text_column("lot"),
    number_column("fetched_us"),
    Index("ix_pack_parent", "parent", sqlite_where=text("parent != ''")),
    sqlite_with_rowid=False,
)

# One row per fact and box, of what was dispensed or came back; see ``connectors/queue.py``.
insurer_row = Table(
    "insurer_row",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    number_column("position"),
    text_column("box"),
    text_column("order_id"),
    number_column("quantity"),
    flag_column("is_split"),
    text_column("state"),
    number_column("attempts"),
    text_column("msgid"),
    Column("request", LargeBinary, nullable=True),
    text_column("cause"),
    number_column("next_try_us"),
    number_column("updated_us"),
    flag_column("is_return"),
    UniqueConstraint("position", "box"),
    Index(None, "state", "next_try_us"),
    Index(None, "order_id"),
    Index("ix_insurer_row_returned", "box", sqlite_where=text("is_return")),
)

# Every time that a person sent a refused row again, asked about an unknown one or has reported one by hand (``what``:
# again, ask, by_hand); ``cause``: what stood there.
insurer_repair = Table(
    "insurer_repair",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    number_column("row_id"),
    text_column("what"),
    text_column("cause"),
    text_column("person"),
    number_column("at_us"),
    Index(None, "row_id"),
)
