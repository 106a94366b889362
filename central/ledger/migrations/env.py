"""Run by Alembic: one migration and its record commit together."""

import sqlalchemy
from alembic import context

from central.ledger.schema import metadata


def run() -> None:
    url = context.config.get_main_option("sqlalchemy.url")
    assert url is not None, "migrations.config sets it"
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args={"isolation_level": None})
    # The driver by itself begins no transaction for DDL: a migration cut off half-way could never be repeated.
    sqlalchemy.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=metadata, transaction_per_migration=True, transactional_ddl=True
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
