"""The tables of stocktakes and of base stock. See ``schema``."""

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text

from central.ledger.columns import metadata, number_column, text_column

# A sheet is about the products of one place, about some products at every place, or about some at one: ``location``
# empty: every place; ``products``: JSON list of ids, empty: every product. ``closed_us`` 0: it is open.
stocktake = Table(
    "stocktake",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    text_column("location"),
    text_column("products"),
    text_column("opened_by"),
    number_column("opened_us"),
    text_column("closed_by"),
    text_column("witness"),
    text_column("reason"),
    number_column("closed_us"),
)

# What workplaces know of a sheet: msgpack of CountSheet.
count_sheet = Table(
    "count_sheet",
    metadata,
    Column("id", Text, primary_key=True, nullable=False),
    Column("body", LargeBinary, nullable=False),
    number_column("version"),
    Index(None, "version"),
)

# One product in one form at one place. ``state``: ``stock/stocktake.py``. ``position``: of the count that it rests on.
stocktake_line = Table(
    "stocktake_line",
    metadata,
    Column("sheet", Integer, primary_key=True, nullable=False),
    Column("location", Text, primary_key=True, nullable=False),
    Column("product", Text, primary_key=True, nullable=False),
    Column("kind", Text, primary_key=True, nullable=False),
    text_column("state"),
    number_column("position"),
    text_column("posted_by"),
    text_column("witness"),
    text_column("reason"),
    number_column("posted_us"),
    sqlite_with_rowid=False,
)

# A count by hand of such a line, and how the book stood when it was taken in; ``position``: of its last fact.
# ``missing`` and ``surplus``: JSON lists of codes.
stocktake_count = Table(
    "stocktake_count",
    metadata,
    Column("position", Integer, primary_key=True, nullable=False),
    number_column("sheet"),
    text_column("location"),
    text_column("product"),
    text_column("kind"),
    text_column("operator"),
    text_column("device"),
    number_column("at_us"),
    number_column("objects"),
    number_column("scanned"),
    number_column("book"),
    text_column("missing"),
    text_column("surplus"),
    Index(None, "sheet", "product"),
)

# Base stock (基数): how much of a product a place should have, in units of a split drug, else in boxes or pieces.
par_level = Table(
    "par_level",
    metadata,
    Column("location", Text, primary_key=True, nullable=False),
    Column("product", Text, primary_key=True, nullable=False),
    number_column("quantity"),
    text_column("set_by"),
    number_column("set_us"),
    sqlite_with_rowid=False,
)

# Every change of such a level, for good. 0: there is none.
par_change = Table(
    "par_change",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    text_column("location"),
    text_column("product"),
    number_column("before"),
    number_column("after"),
    text_column("person"),
    number_column("at_us"),
    Index(None, "location", "product"),
)

# What was requested to fill a place up again. ``arrived``: by facts of arrival there. ``state``: stock/base_stock.py.
replenishment = Table(
    "replenishment",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    text_column("location"),
    text_column("product"),
    number_column("quantity"),
    number_column("arrived"),
    text_column("state"),
    text_column("asked_by"),
    number_column("asked_us"),
    text_column("ended_by"),
    number_column("ended_us"),
    Index(None, "location", "product", "state"),
)
