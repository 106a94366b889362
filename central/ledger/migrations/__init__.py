"""Brings a ledger to the tables of this software. Migrations only go up: an older software refuses a newer ledger."""

import pathlib
import sqlite3

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from central.errors import LedgerNewerError

_FOLDER = pathlib.Path(__file__).parent


def config(path: pathlib.Path) -> Config:
    settings = Config()
    settings.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    settings.set_main_option("sqlalchemy.url", f"sqlite:///{path}".replace("%", "%%"))
    return settings


def upgrade(path: pathlib.Path) -> None:
    """Raises LedgerNewerError for a ledger that a newer software wrote, or sqlite3.Error."""
    settings = config(path)
    current = _revision(path)
    scripts = ScriptDirectory.from_config(settings)
    if current == scripts.get_current_head():
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if current and current not in known:
        raise LedgerNewerError(
            f"ledger {path}: found revision {current}, expected one of {', '.join(sorted(known))}.\n"
            "A newer codepool-central wrote it, and this one cannot read it. Nothing was changed.\n"
            "Install that version again, or start on a backup from before the upgrade."
        )
    try:
        command.upgrade(settings, "head")
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error
        raise


def _revision(path: pathlib.Path) -> str:
    if not path.exists():
        return ""
    connection = sqlite3.connect(path)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return ""
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    finally:
        connection.close()
    return str(row[0]) if row else ""
