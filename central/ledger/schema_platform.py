"""The tables of the code platform's connector. See ``schema``."""

from sqlalchemy import Column, Index, Integer, Table, Text, UniqueConstraint, text

from central.ledger.columns import metadata, number_column, text_column

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
