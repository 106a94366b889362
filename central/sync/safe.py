"""Which facts are in a verified backup, and telling the agents, who may then let old ones go (REQ-02).

``codepool-central backup`` lays a manifest into the data folder. It counts for what the ledger has with the same hash,
so that one of another life of the ledger says nothing wrong.
"""

import asyncio
import pathlib
import sqlite3
from collections.abc import Callable

import msgspec
import structlog

from central.backup import INBOX, Manifest, read_manifest
from central.errors import BusyError
from central.ledger import statements
from central.ledger.write import Ledger

LOOK_EVERY_S = 1.0
TOLD_AT_ONCE = 200
"""Sessions whose agents are told at once; of the others they learn with their next HELLO."""
_OF_SESSION = "SELECT device, through, safe FROM session WHERE session = ?"
_log = structlog.get_logger("central.safe")

Moved = tuple[str, bytes]
"""Device, session."""


class Safe:
    """``tell``: a device how far the ledger and its backups have a session."""

    def __init__(self, ledger: Ledger, tell: Callable[[str, bytes], None], folder: pathlib.Path) -> None:
        self._ledger = ledger
        self._tell = tell
        self._inbox = folder / INBOX

    async def run(self) -> None:
        """Take in manifests, and keep what stands outside the ledger, until cancelled."""
        trouble = ""
        while True:
            try:
                self.take_in()
                self._ledger.keep_witnesses()
                trouble = ""
            except (BusyError, OSError) as error:  # the next round does it
                if str(error) != trouble:
                    trouble = str(error)
                    _log.warning("backups and witnesses wait", cause=trouble)
            await asyncio.sleep(LOOK_EVERY_S)

    def take_in(self) -> None:
        """Write down what new manifests say. Raises BusyError or OSError: they stay where they are."""
        for path in sorted(self._inbox.glob("*.json")):
            try:
                manifest = read_manifest(path)
                moved = self._ledger.write(lambda connection, it=manifest: _settle(connection, it))  # type: ignore[misc]
            except (msgspec.MsgspecError, ValueError) as error:
                _log.error("no manifest of a backup", file=str(path), cause=str(error))
                path.replace(path.with_suffix(".bad"))
                continue
            path.unlink()
            _log.info("backup verified", file=manifest.file, facts=manifest.facts, sessions=len(moved))
            for device, session in moved[:TOLD_AT_ONCE]:
                self._tell(device, session)


def _settle(connection: sqlite3.Connection, manifest: Manifest) -> list[Moved]:
    """Sessions of which more is safe than before, the newest first. Raises ValueError for names that are none."""
    moved: list[Moved] = []
    for name, (held, digest) in manifest.sessions.items():
        session = bytes.fromhex(name)
        row = connection.execute(_OF_SESSION, (session,)).fetchone()
        if row is None or not row[2] < held <= row[1]:
            continue
        if connection.execute(statements.HASH_OF, (session, held)).fetchone() == (bytes.fromhex(digest),):
            connection.execute(statements.SAFE_SESSION, (held, session))
            moved.append((row[0], session))
    told = (manifest.file, manifest.sha256, manifest.taken_us, manifest.version, manifest.facts, manifest.incarnation)
    connection.execute(statements.ADD_BACKUP, (*told, manifest.bytes))
    return moved[::-1]
