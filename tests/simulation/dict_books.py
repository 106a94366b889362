"""The ledger's disk as dictionaries, with what lies beside it: the mark, manifests of backups."""

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import cast

import msgspec

from central.backup import Manifest
from central.ledger.write import Ledger
from central.sync import publish
from central.sync.comparing import Comparing
from central.sync.link import Outbox
from central.sync.publish import Publisher
from central.sync.safe import Safe
from sync_protocol.envelope import Voice
from sync_protocol.items import Item
from sync_protocol.machines.incarnation import Mark
from sync_protocol.machines.ingest import SessionState
from sync_protocol.messages import Delta, Rows
from tests.simulation.books import Backup, Entry, Misfit, Tell, Way
from tests.simulation.clocks import SimClock
from tests.simulation.dict_comparing import DictComparing
from tests.simulation.dict_ledger import DictLedger
from tests.simulation.dict_tables import TABLES, Tables, version_of
from tests.simulation.disk import Disk
from tests.simulation.perils import Perils
from tests.simulation.snapshots import SimSnapshots, Whole


class DictPublisher(Publisher):
    """Reads the rows of a delta from the tables; everything else is the shipped publisher."""

    def delta(self, after: int) -> Delta:
        tables = cast("Tables", self._ledger.connection)
        latest = tables.version
        codes: dict[str, None] = {}
        to = after
        for version in tables.changed_after(after):
            fresh = [code for code in tables.changes[version] if tables.items[code][1] == version]
            if codes and len(codes) + len(fresh) > publish.MAX_ROWS:
                break
            codes.update(dict.fromkeys(fresh))
            to = version
        else:
            to = latest
        return self._delta(after, to, Rows(items=tuple(tables.items[code][0] for code in codes)), latest=latest)


class DictSafe(Safe):
    """The shipped one; its folder is a tray."""

    def __init__(self, ledger: Ledger, tell: Tell, tray: "Tray") -> None:
        super().__init__(ledger, tell, Path())
        self._inbox = cast("Path", tray)


class Tray:
    """A folder of manifests, for as much of a folder as ``Safe`` asks for."""

    def __init__(self) -> None:
        self.slips: dict[str, Slip] = {}

    def lay(self, manifest: Manifest) -> None:
        self.slips[manifest.file] = Slip(self, manifest)

    def glob(self, _pattern: str) -> "list[Slip]":
        return list(self.slips.values())


class Slip:
    def __init__(self, tray: Tray, manifest: Manifest) -> None:
        self._tray = tray
        self._manifest = manifest

    def __lt__(self, other: "Slip") -> bool:
        return self._manifest.taken_us < other._manifest.taken_us

    def read_bytes(self) -> bytes:
        return msgspec.json.encode(self._manifest)

    def unlink(self) -> None:
        del self._tray.slips[self._manifest.file]


class DictBooks:
    """Beside the ledger lie the mark, and manifests that central has not read yet."""

    def __init__(self, snapshots: dict[str, Whole], disk: Disk | None = None) -> None:
        self._disk = disk or Disk(*TABLES)
        self._snapshots = snapshots
        self._outside = Disk("mark")
        self._tray = Tray()

    def open(self, clock: SimClock, new_session: Callable[[], bytes], perils: Perils) -> Ledger:
        return cast("Ledger", DictLedger(self._disk, self._outside, clock, new_session, perils))

    def publisher(self, ledger: Ledger, outbox: Outbox, voice: Voice, key: bytes) -> Publisher:
        tables = cast("Tables", ledger.connection)
        snapshots = SimSnapshots(ledger, tables, self._snapshots).as_shipped()
        return DictPublisher(ledger, outbox, voice, key=key, snapshots=snapshots)

    def comparing(self, ledger: Ledger, publisher: Publisher) -> Comparing:
        return DictComparing(ledger, publisher)

    def safe(self, ledger: Ledger, tell: Tell) -> Safe:
        return DictSafe(ledger, tell, self._tray)

    def back_up(self, now_us: int) -> Backup:
        states = {session: state for session, state in self.sessions().items() if state.through}
        manifest = Manifest(
            file=f"{now_us}.db",
            sha256="",
            bytes=0,
            taken_us=now_us,
            incarnation=self.incarnation(),
            version=self.version(),
            facts=len(self._disk.tables["fact"]),
            keys=(),
            sessions={session.hex(): (state.through, state.head.hex()) for session, state in states.items()},
        )
        held = {session: state.through for session, state in states.items()}
        return Backup(held=held, what=(self._disk.image(), manifest))

    def tell(self, backup: Backup) -> None:
        self._tray.lay(backup.what[1])

    def put_back(self, backup: Backup, way: Way) -> None:
        self._disk = backup.what[0].image()
        if way is Way.MOVED:
            self._outside, self._tray = Disk("mark"), Tray()
        elif way is Way.TOOL:
            known = self._outside.tables["mark"].get(1)
            highest = max(backup.what[1].incarnation, known.incarnation if known else 0)
            self._outside.write([("mark", 1, Mark(incarnation=highest, position=1 << 62, head=b""))])
            self._outside.sync()

    def another(self, backup: Backup, folder: Path) -> "DictBooks":  # noqa: ARG002 -- files need one
        return DictBooks(self._snapshots, backup.what[0].image())

    def twin(self, folder: Path) -> "DictBooks":  # noqa: ARG002 -- files need one
        other = DictBooks(self._snapshots, self._disk.image())
        other._outside = self._outside.image()
        return other

    def close(self) -> None:
        """Nothing is held."""

    def crashed(self, random: Random, *, is_power: bool) -> None:
        for disk in (self._disk, self._outside):
            if is_power:
                disk.lose_power(random)
            else:
                disk.sync()

    def version(self) -> int:
        return version_of(self._disk)

    def incarnation(self) -> int:
        return int(self._disk.tables["meta"].get("incarnation", 0))

    def changed(self, after: int) -> dict[str, tuple[Item, int]]:
        return {code: row for code, row in self._disk.tables["item"].items() if row[1] > after}

    def entries(self, after: int) -> list[Entry]:
        facts = self._disk.tables["fact"]
        return [facts[position] for position in range(after + 1, len(facts) + 1)]

    def misfits(self, after: int) -> list[Misfit]:
        rows = self._disk.tables["exception"]
        return [rows[n][0] for n in range(after, len(rows))]

    def sessions(self) -> Mapping[bytes, SessionState]:
        return self._disk.tables["session"]

    def drifted(self) -> set[str]:
        return {row[0] for row in self._disk.tables["drift"].values()}

    def items(self) -> Mapping[str, Item]:
        return {code: item for code, (item, _) in self._disk.tables["item"].items()}
