"""What the files of a data folder say, read without touching them: also while an agent runs on it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from edge_agent.errors import JournalNewerError, StoreError
from edge_agent.store import folder, sqlite
from edge_agent.store.schema import JOURNAL_VERSION, version_of
from sync_protocol.codec import decode_fact
from sync_protocol.errors import FactError, WireError

_WAITING = (
    "SELECT count(*), (SELECT body FROM written WHERE NOT is_acked AND NOT is_again ORDER BY session_number, seq"
    " LIMIT 1) FROM written WHERE NOT is_acked AND NOT is_again"
)
_WRITTEN = "SELECT count(*), (SELECT device FROM session ORDER BY number DESC LIMIT 1) FROM written WHERE NOT is_again"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    is_running: bool
    facts: int
    facts_waiting: int
    oldest_waiting_s: int | None

    def __str__(self) -> str:
        running = "the agent runs" if self.is_running else "no agent runs"
        if not self.facts_waiting:
            return f"{self.device}: all {self.facts} facts are in the ledger; {running}"
        oldest = "" if self.oldest_waiting_s is None else f", the oldest {_spoken(self.oldest_waiting_s)} old"
        return f"{self.device}: {self.facts_waiting} of {self.facts} facts are not in the ledger yet{oldest}; {running}"


def read_status(data: Path, *, now_us: int) -> Status:
    """Raises StoreError, JournalCorruptError or JournalNewerError."""
    path = data / folder.JOURNAL
    if not path.exists():
        raise StoreError(f"{path}: there is no journal; expected the data folder of an agent. Check --data.")
    with sqlite.explaining(path), closing(sqlite.connect(path, is_durable=True, is_read_only=True)) as connection:
        found = version_of(connection)
        if found > JOURNAL_VERSION:
            raise JournalNewerError(
                f"{path}: found schema version {found}, expected at most {JOURNAL_VERSION}; use newer software."
            )
        return _read(connection, is_running=folder.is_held(data), now_us=now_us)


def _read(connection: sqlite3.Connection, *, is_running: bool, now_us: int) -> Status:
    facts, device = connection.execute(_WRITTEN).fetchone()
    waiting, oldest = connection.execute(_WAITING).fetchone()
    age_s = None
    if oldest is not None:
        try:
            age_s = max(0, (now_us - decode_fact(oldest).recorded_us) // 1_000_000)
        except (FactError, WireError):  # written by other software: its age is not known here
            age_s = None
    return Status(
        device=device or "", is_running=is_running, facts=facts, facts_waiting=waiting, oldest_waiting_s=age_s
    )


def _spoken(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
