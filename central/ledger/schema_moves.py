"""The tables of places and of what goes between them. See ``schema``."""

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text, text

from central.ledger.columns import flag_column, metadata, number_column, text_column

# Where stock lies. ``level``: 1 drug store (药库), 2 pharmacy (药房), 3 a bin area or cabinet of one; ``parent``: the
# place one level up, from which it asks for what it needs.
place = Table(
    "place",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    text_column("name"),
    text_column("name_en"),
    number_column("level"),
    text_column("parent"),
)

# Requisitions and transfers. ``lines``: msgpack of tuple[TransferLine, ...], the issued codes in them.
transfer = Table(
    "transfer",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    text_column("kind"),
    text_column("source"),
    text_column("target"),
    text_column("state"),
    Column("lines", LargeBinary, nullable=False),
    number_column("asked_us"),
    text_column("asked_by"),
    flag_column("is_closed"),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Index(None, "version"),
    Index(None, "asked_us"),
)
