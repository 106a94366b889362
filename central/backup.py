"""Backups of the ledger, taken while central works, believed once they are verified; and the way back (REQ-02, REQ-03).

``backup`` reads one moment of the ledger into one file, verifies the copy as ``verify`` does, writes a manifest beside
it and lays a copy of that into the data folder: from it central learns which facts are safe, at once or when it starts.
"""

import contextlib
import datetime as dt
import hashlib
import pathlib
import shutil
import sqlite3
from collections.abc import Iterator

import msgspec

from central.errors import DiskError, LedgerCorruptError, OverwriteError
from central.ledger import durable, mark, signing, statements, store
from central.ledger.verify import Progress, Report, open_ledger, verify

INBOX = "backups"
"""Folder of manifests that central has not read yet."""
_PAGES = 512
_SESSIONS = "SELECT session, through, head FROM session WHERE through > 0"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified backup holds. ``sessions``: how far, with the hash of that fact; ``keys``: that sealed it."""

    file: str
    sha256: str
    bytes: int
    taken_us: int
    incarnation: int
    version: int
    facts: int
    keys: tuple[str, ...]
    sessions: dict[str, tuple[int, str]]


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """Told how far the copy and its verification are."""

    copying: Progress
    verifying: Progress


def backup(folder: pathlib.Path, to: pathlib.Path, *, now_us: int, bars: Bars) -> Manifest:
    """Back the ledger of ``folder`` up into the folder ``to``. Raises DiskError or LedgerCorruptError."""
    path = folder / store.FILE
    with _explained(path, to):
        if not path.exists():
            raise DiskError(f"{path}: there is no ledger.\nName the data folder of central with --data or --config.")
        to.mkdir(parents=True, exist_ok=True)
        stamp = dt.datetime.fromtimestamp(now_us / 1_000_000, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        partial = to / f"ledger-{stamp}.db.partial"
        partial.unlink(missing_ok=True)
        _copy(path, partial, bars.copying)
        manifest = _manifest(partial, folder, f"ledger-{stamp}.db", now_us, bars.verifying)
        durable.rename(partial, to / manifest.file)
        _write(to / f"{manifest.file}.json", manifest)
        (folder / INBOX).mkdir(exist_ok=True)
        _write(folder / INBOX / f"{manifest.file}.json", manifest)
        return manifest


def restore(folder: pathlib.Path, source: pathlib.Path, *, replace: bool, now_us: int, bars: Bars) -> Report:
    """Put a backup in the place of the ledger of ``folder``; the one before is kept aside.

    Central wakes on it with a new incarnation, and its agents give back what it lacks. Raises DiskError,
    LedgerCorruptError, OverwriteError or DataFolderHeldError.
    """
    with _explained(folder, source), store.hold(folder):
        manifest = _manifest_of(source)
        path, fresh = folder / store.FILE, folder / f"{store.FILE}.restored"
        _refuse_to_overwrite(path, replace=replace)
        report = _copy_back(source, fresh, manifest, bars)
        known = mark.read(folder / mark.FILE)
        lives = (manifest.incarnation, known.incarnation if known else 0, _incarnation(path))
        (folder / store.RESTORING).touch()
        durable.sync(folder)
        mark.ahead_of_all(folder / mark.FILE, max(lives))
        _keep_aside(path, now_us)
        durable.rename(fresh, path)
        for key in manifest.keys:
            signing.trust(folder, key)
        (folder / store.RESTORING).unlink()
        durable.sync(folder)
        return report


def read_manifest(path: pathlib.Path) -> Manifest:
    """Raises OSError, or msgspec.MsgspecError for what is no manifest."""
    return msgspec.json.decode(path.read_bytes(), type=Manifest)


def check(path: pathlib.Path, folder: pathlib.Path, on_progress: Progress) -> Report:
    """Verify the ledger of a data folder, with its daily heads, also while central runs. Raises DiskError."""
    with _explained(path, folder):
        if not path.exists():
            raise DiskError(f"{path}: there is no ledger.\nName the data folder of central with --data or --config.")
        keys = signing.trusted(folder)
        with contextlib.closing(open_ledger(path, is_still=False)) as connection:
            return verify(connection, folder, keys, on_progress)


def _copy(path: pathlib.Path, target: pathlib.Path, on_progress: Progress) -> None:
    """One moment of a ledger that is written to meanwhile."""
    with (
        contextlib.closing(open_ledger(path, is_still=False)) as source,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        # The open transaction holds the moment: without it every commit of central's would begin the copy anew.
        source.execute("BEGIN")
        source.execute(statements.LAST_POSITION).fetchone()
        source.backup(copy, pages=_PAGES, progress=lambda _, left, total: on_progress(total - left, total))
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, whole by itself
    durable.sync(target)


def _manifest(copy: pathlib.Path, folder: pathlib.Path, name: str, now_us: int, on_progress: Progress) -> Manifest:
    keys = signing.trusted(folder)
    with contextlib.closing(open_ledger(copy, is_still=True)) as connection:
        report = verify(connection, None, keys, on_progress)
        if not report.is_whole:
            raise LedgerCorruptError(
                f"the ledger of {folder} is not whole; the copy is kept in {copy} and counts as no backup.\n{report}"
            )
        sessions = {row[0].hex(): (row[1], row[2].hex()) for row in connection.execute(_SESSIONS)}
    return Manifest(
        file=name,
        sha256=_sha256(copy),
        bytes=copy.stat().st_size,
        taken_us=now_us,
        incarnation=_incarnation(copy),
        version=report.version,
        facts=report.facts,
        keys=keys,
        sessions=sessions,
    )


def _manifest_of(source: pathlib.Path) -> Manifest:
    beside = source.with_name(f"{source.name}.json")
    if not source.exists() or not beside.exists():
        missing = source if not source.exists() else beside
        raise DiskError(f"{missing}: there is no such file, expected a backup with its manifest beside it.")
    try:
        manifest = read_manifest(beside)
    except msgspec.MsgspecError as error:
        raise LedgerCorruptError(f"{beside}: {error}.\nTake another backup.") from error
    found = _sha256(source)
    if found != manifest.sha256:
        raise LedgerCorruptError(
            f"{source}: found SHA-256 {found}, expected {manifest.sha256} as in its manifest.\nTake another backup."
        )
    return manifest


def _refuse_to_overwrite(path: pathlib.Path, *, replace: bool) -> None:
    if path.exists() and path.stat().st_size and not replace:
        raise OverwriteError(
            f"{path}: found a ledger, expected none.\nTo put the backup in its place say --replace: the ledger that"
            " is there is kept aside, and agents give back what the backup lacks."
        )


def _copy_back(source: pathlib.Path, fresh: pathlib.Path, manifest: Manifest, bars: Bars) -> Report:
    shutil.copyfile(source, fresh)
    durable.sync(fresh)
    bars.copying(1, 1)
    with contextlib.closing(open_ledger(fresh, is_still=True)) as connection:
        report = verify(connection, None, manifest.keys, bars.verifying)
    if not report.is_whole:
        fresh.unlink()
        raise LedgerCorruptError(f"{source}: it is no whole ledger; nothing was changed.\n{report}")
    return report


def _incarnation(path: pathlib.Path) -> int:
    """Of a ledger that may be damaged, or not there: 0 then."""
    try:
        with contextlib.closing(open_ledger(path, is_still=True)) as connection:
            row = connection.execute(statements.READ_META, ("incarnation",)).fetchone()
    except sqlite3.Error:
        return 0
    return int(row[0]) if row and row[0].isdecimal() else 0


def _keep_aside(path: pathlib.Path, now_us: int) -> None:
    parts = [part for suffix in ("", "-wal", "-shm") if (part := path.with_name(path.name + suffix)).exists()]
    if parts:
        aside = path.parent / f"replaced-{now_us}"
        aside.mkdir()
        for part in parts:
            part.replace(aside / part.name)


def _write(path: pathlib.Path, manifest: Manifest) -> None:
    durable.write(path, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _explained(one: pathlib.Path, other: pathlib.Path) -> Iterator[None]:
    """Raises DiskError in place of what the disk or the database says."""
    try:
        yield
    except OSError as error:
        raise DiskError(f"{error.filename or one}: {error.strerror}.\nExpected to read and write here.") from error
    except sqlite3.Error as error:
        raise DiskError(f"{one}, {other}: {store.cause_of(error)}.") from error
