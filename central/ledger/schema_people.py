"""The tables of roles, and of what people at the console changed of people. See ``schema``."""

from sqlalchemy import Column, Index, Integer, Table, Text

from central.ledger.columns import metadata, number_column, text_column

person_role = Table(
    "person_role",
    metadata,
    Column("person", Text, primary_key=True, nullable=False),
    Column("role", Text, primary_key=True, nullable=False),
    sqlite_with_rowid=False,
)

# For good. ``what``: created, name, badge, pin, active, inactive, role_given, role_taken; ``value``: the name or role.
person_change = Table(
    "person_change",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    text_column("person"),
    text_column("what"),
    text_column("value"),
    text_column("operator"),
    text_column("witness"),
    number_column("at_us"),
    Index(None, "person"),
)
