"""Run by Alembic: one migration and its record commit together."""

import sqlalchemy
from alembic import context

from central.ledger.schema import metadata


def run() -> None:
    url = context.config.get_main_option("sqlalchemy.url")
    assert url is not None, "migrations.config sets it"
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
