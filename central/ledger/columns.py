"""What all tables of the ledger are made of: one collection, one way to name things, columns that are never null."""

from sqlalchemy import Boolean, Column, Integer, MetaData, Text, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


def text_column(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=text("''"))


def number_column(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def flag_column(name: str) -> Column[bool]:
    return Column(name, Boolean(create_constraint=False), nullable=False, server_default=text("0"))
