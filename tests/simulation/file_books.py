"""The shipped ledger on real files, in memory, with the shipped commands that back it up and restore it."""

import functools
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from central import backup as backups
from central.changes import Changes
from central.clock import HospitalTime
from central.connectors.queue import enqueue_sales
from central.ledger import rows, statements, store
from central.ledger.write import Ledger
from central.sync.comparing import Comparing
from central.sync.link import Outbox
from central.sync.publish import Publisher
from central.sync.safe import Safe
from sync_protocol.chain import SessionStart
from sync_protocol.envelope import Voice
from sync_protocol.facts import FactId, SealedFact
from sync_protocol.items import Item
from sync_protocol.machines.ingest import SessionState
from tests.simulation.books import Backup, Entry, Misfit, Tell, Way
from tests.simulation.clocks import SUMMER_2026_US, SimClock
from tests.simulation.folders import Folders, copy
from tests.simulation.perils import Perils

_BARS = backups.Bars(copying=lambda _done, _all: None, verifying=lambda _done, _all: None)
_ZONE = ZoneInfo("Asia/Shanghai")
_DRIFTED = "SELECT DISTINCT device FROM drift"
_ENTRIES = "SELECT position, session, seq, device, body, hash, version FROM fact WHERE position > ? ORDER BY position"
_MISFITS = "SELECT position, device, session, seq, code, reason, found FROM exception ORDER BY id LIMIT -1 OFFSET ?"
_SESSIONS = "SELECT device, session, parent_session, parent_seq, parent_hash, started_us, through, head FROM session"
_ITEMS = f"{statements.READ_ITEMS} WHERE version > ?"


class FileBooks:
    """The ledger in a folder, with a second connection for whoever looks in from outside."""

    def __init__(self, folder: Path, ledger: bytes | None = None) -> None:
        """``ledger``: its file, if it is not a new one."""
        self._folders = Folders(folder)
        self._folders.current.mkdir(exist_ok=True)
        file = self._folders.current / store.FILE
        if ledger is not None or not file.exists():
            file.write_bytes(ledger or _empty_ledger())
        self._backups = 0
        self._ledger: Ledger | None = None
        self._reader: sqlite3.Connection | None = None

    def open(self, clock: SimClock, new_session: Callable[[], bytes], perils: Perils) -> Ledger:
        time = HospitalTime(clock, _ZONE)
        ledger = Ledger(self._folders.current / store.FILE, time, Changes(), new_session)
        ledger.follow(enqueue_sales)  # rows that the check of a backup expects
        ledger.follow(lambda _transaction: perils.point("ledger.write"))
        ledger.follow(lambda _transaction: perils.point("ledger.sync"))
        self._ledger = ledger
        return ledger

    def publisher(self, ledger: Ledger, outbox: Outbox, voice: Voice, key: bytes) -> Publisher:
        return Publisher(ledger, outbox, voice, key=key)

    def comparing(self, ledger: Ledger, publisher: Publisher) -> Comparing:
        return Comparing(ledger, publisher, every_s=0.0, random=Random(0))

    def safe(self, ledger: Ledger, tell: Tell) -> Safe:
        return Safe(ledger, tell, self._folders.current)

    def back_up(self, now_us: int) -> Backup:
        """With the shipped command, but that what it tells central is held back."""
        self._backups += 1
        folder = self._folders.current
        to = self._folders.beside(f"backup-{self._backups}")
        manifest = backups.backup(folder, to, now_us=now_us, bars=_BARS)
        told = f"{manifest.file}.json"
        (folder / backups.INBOX / told).unlink()
        held = {bytes.fromhex(session): through for session, (through, _) in manifest.sessions.items()}
        return Backup(held=held, what=to / manifest.file)

    def tell(self, backup: Backup) -> None:
        source: Path = backup.what
        inbox = self._folders.current / backups.INBOX
        inbox.mkdir(exist_ok=True)
        shutil.copyfile(source.with_name(f"{source.name}.json"), inbox / f"{source.parent.name}.json")

    def put_back(self, backup: Backup, way: Way) -> None:
        self._close_reader()
        if way is Way.MOVED:
            self._folders.leave(is_empty=True)
        folder, source = self._folders.current, backup.what
        if way is Way.TOOL:
            backups.restore(folder, source, replace=True, now_us=_number_of(folder), bars=_BARS)
            return
        for suffix in ("", "-wal", "-shm"):
            (folder / f"{store.FILE}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(source, folder / store.FILE)

    def another(self, backup: Backup, folder: Path) -> "FileBooks":
        return FileBooks(folder, backup.what.read_bytes())

    def twin(self, folder: Path) -> "FileBooks":
        copy(self._folders.current, folder)
        return FileBooks(folder)

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        self._close_reader()

    def crashed(self, random: Random, *, is_power: bool) -> None:  # noqa: ARG002 -- nothing is lost here
        self._folders.leave()
        self._close_reader()

    def version(self) -> int:
        found = self._ask(statements.READ_META, "version")
        return int(found[0][0]) if found else 0

    def incarnation(self) -> int:
        found = self._ask(statements.READ_META, "incarnation")
        return int(found[0][0]) if found else 0

    def entries(self, after: int) -> list[Entry]:
        return [
            Entry(
                position=position,
                sealed=SealedFact(id=FactId(device=device, session=session, seq=seq), body=body, hash=digest),
                version=version,
            )
            for position, session, seq, device, body, digest, version in self._ask(_ENTRIES, after)
        ]

    def misfits(self, after: int) -> list[Misfit]:
        return [
            Misfit(position=position, device=device, session=session, seq=seq, code=code, reason=reason, found=found)
            for position, device, session, seq, code, reason, found in self._ask(_MISFITS, after)
        ]

    def sessions(self) -> Mapping[bytes, SessionState]:
        return {
            session: SessionState(
                start=SessionStart(
                    device=device,
                    session=session,
                    parent_session=parent,
                    parent_seq=parent_seq,
                    parent_hash=parent_hash,
                    started_us=started_us,
                ),
                through=through,
                head=head,
            )
            for device, session, parent, parent_seq, parent_hash, started_us, through, head in self._ask(_SESSIONS)
        }

    def drifted(self) -> set[str]:
        return {device for (device,) in self._ask(_DRIFTED)}

    def items(self) -> Mapping[str, Item]:
        return {code: item for code, (item, _) in self.changed(0).items()}

    def changed(self, after: int) -> dict[str, tuple[Item, int]]:
        found = rows.versioned_items_of(self._ask(_ITEMS, after))
        return {item.code: (item, version) for item, version, _ in found}

    def _ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        if self._reader is None:
            self._reader = store.connect(self._folders.current / store.FILE)
        return self._reader.execute(statement, values).fetchall()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _number_of(folder: Path) -> int:
    """A restore keeps what was there under a number: the next one."""
    return len(list(folder.glob("replaced-*")))


@functools.cache
def _empty_ledger() -> bytes:
    """Made once: creating the tables takes longer than many a run."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        path = store.prepare(Path(folder), now_us=SUMMER_2026_US)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()
