"""The reading side of the ledger for pages and programs: SQLAlchemy Core, in threads, unable to write."""

import pathlib

import sqlalchemy
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from central.ledger.happened import happened_us, product_told, undoes_hand_out

_READERS = 4


def open_reader(path: pathlib.Path) -> AsyncEngine:
    """Connections see the last commit and refuse to write. Dispose of the engine at the end."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", pool_size=_READERS, max_overflow=0, pool_timeout=10)
    sqlalchemy.event.listen(engine.sync_engine, "connect", _prepare)
    return engine


def _prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.execute("PRAGMA busy_timeout=2000")
    cursor.close()
    connection.create_function("happened_us", 2, happened_us)
    connection.create_function("product_told", 1, product_told)
    connection.create_function("undoes_hand_out", 1, undoes_hand_out)
