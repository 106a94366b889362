"""An agent's stores as dictionaries: they answer all that the shipped shell asks of a journal and a replica.

They are not another model of the protocol: what is decided is decided by the shell, the machines and ``Settling``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Self, cast

import msgspec

from edge_agent.store import fact_rows, recalls
from edge_agent.store.journal import Journal, Touched
from edge_agent.store.leased import NO_CHANGE, LeaseChange
from edge_agent.store.opening import FACTS_FROM, HASH_AT, Line, in_order
from edge_agent.store.replica import Replica
from edge_agent.store.scan import Scan
from edge_agent.store.schema import SEQ_BITS
from edge_agent.sync.settling import _FIRST_TOUCHED
from sync_protocol.chain import SessionStart, link
from sync_protocol.facts import FactId
from sync_protocol.items import Item
from sync_protocol.messages import Bucket, Delta
from tests.simulation.dict_comparing import DictScan, mending
from tests.simulation.disk import GONE, Disk, Write
from tests.simulation.perils import Perils
from tests.simulation.snapshots import Whole

_Row = tuple[Any, ...]
_SEQ_MASK = (1 << SEQ_BITS) - 1


def _lease_writes(change: LeaseChange) -> list[Write]:
    return [
        *(("leased", code, GONE) for code in change.removed),
        *(("leased", code, True) for code in change.added),
    ]


class DictJournal:
    """Stands in for ``edge_agent.store.journal.Journal``."""

    def __init__(self, disk: Disk, lines: list[Line], perils: Perils) -> None:
        self.path = Path("journal")
        self.partings = 0
        """How often facts were written again."""
        self.trouble = ""
        self.lines = {line.start.session: line for line in lines}
        self._line = lines[-1]
        self.incarnation: int = disk.tables["setting"].get("incarnation", 0)
        self.central_keys: tuple[bytes, ...] = ()
        self._disk = disk
        self._facts = disk.tables["fact"]
        self._overlay = disk.tables["overlay"]
        self._perils = perils
        self._answers: dict[str, Callable[..., list[_Row]]] = {
            FACTS_FROM: self._facts_from,
            HASH_AT: self._hash_at,
            _FIRST_TOUCHED: self._first_touched,
            recalls._READ: self._recall_sets,
        }

    @classmethod
    def open(
        cls, disk: Disk, *, device: str, session: bytes, started_us: int, perils: Perils, is_resumed: bool
    ) -> Self:
        lines = _read_lines(disk)
        if not (is_resumed and lines):
            before = lines[-1] if lines else None
            start = SessionStart(
                device=device,
                session=session,
                parent_session=before.start.session if before else b"",
                parent_seq=before.end if before else 0,
                parent_hash=before.end_hash if before else b"",
                started_us=started_us,
            )
            number = max(disk.tables["session"], default=0) + 1
            disk.write([("session", number, (start, 0, 0, 0)), ("base", number, (0, start.hash))])
            disk.sync()
            lines = _read_lines(disk)
        return cls(disk, lines, perils)

    @property
    def start(self) -> SessionStart:
        return self._line.start

    @property
    def current(self) -> Line:
        return self._line

    @property
    def head(self) -> int:
        return self._line.head

    @property
    def head_hash(self) -> bytes:
        return self._line.head_hash

    def commit(
        self, bodies: Sequence[bytes], touched: Iterable[Touched], lease: LeaseChange = NO_CHANGE
    ) -> tuple[FactId, ...]:
        line, start = self._line, self._line.start
        previous, seq, first = line.head_hash, line.head, line.position(line.head + 1)
        writes: list[Write] = []
        for body in bodies:
            seq += 1
            previous = link(previous, body)
            writes.append(("fact", line.position(seq), (body, previous)))
        writes += [("overlay", change.item.code, (change.item, first + change.index)) for change in touched]
        self._commit("journal", [*writes, *_lease_writes(lease)])
        first_seq, line.head, line.head_hash = line.head + 1, seq, previous
        return tuple(FactId(device=start.device, session=start.session, seq=n) for n in range(first_seq, seq + 1))

    def open_session(self, session: bytes, *, started_us: int) -> None:
        before = self._line
        start = SessionStart(
            device=before.start.device,
            session=session,
            parent_session=before.start.session,
            parent_seq=before.end,
            parent_hash=before.end_hash,
            started_us=started_us,
        )
        number = max(self._disk.tables["session"]) + 1
        self._commit("session", [("session", number, (start, 0, 0, 0)), ("base", number, (0, start.hash))])
        self._line = self.lines[session] = _read_lines(self._disk)[-1]

    def write_again(self, session: bytes, through: int) -> Line:
        line = self.lines[session]
        assert max(line.acked, line.base) <= through < line.end, "what central has acked is not written again"
        old = self._facts_from(line.position(through + 1), line.position(line.end), line.end)
        ((digest,),) = self._hash_at(line.position(through)) or [(line.base_hash,)]
        parted = (through, digest)
        number = max(self._disk.tables["session"]) + 1
        again = fact_rows.again(line, parted, [body for _, body, _ in old], number=number)
        to, (shift, first, last) = again.line, again.shift
        writes: list[Write] = [
            ("parted", line.number, parted),
            ("session", number, (to.start, 0, 0, 0)),
            ("base", number, (0, to.start.hash)),
            ("again_from", number, to.again_from),
        ]
        writes += [("fact", position, (bytes(body), bytes(digest))) for position, body, digest in again.facts]
        for code, (item, position) in self._overlay.items():
            if first <= position <= last:
                writes.append(("overlay", code, (item, position + shift)))
        self._commit("again", writes)
        line.parted = parted
        self.lines = {one.start.session: one for one in in_order([*self.lines.values(), to])}
        self._line = list(self.lines.values())[-1]
        self.partings += 1
        return to

    def leased(self) -> tuple[int, list[str]]:
        return self._disk.tables["setting"].get("leased_by", 0), sorted(self._disk.tables["leased"])

    def keep_lease(self, change: LeaseChange, *, incarnation: int, is_whole: bool) -> None:
        cleared: list[Write] = [("leased", code, GONE) for code in self._disk.tables["leased"]] if is_whole else []
        self._commit("lease", [*cleared, *_lease_writes(change), ("setting", "leased_by", incarnation)])

    def settle(self, session: bytes, through: int, version: int, safe: int = 0) -> None:
        line = self.lines[session]
        safe = max(safe, line.safe)
        self._commit("settle", [("session", line.number, (line.start, through, version, safe))])
        line.acked, line.acked_version, line.safe = through, version, safe

    def adopt(self, incarnation: int) -> None:
        lines = self.lines.values()
        writes: list[Write] = [("session", line.number, (line.start, line.base, 0, line.base)) for line in lines]
        self._commit("adopt", [*writes, ("setting", "incarnation", incarnation)])
        self.incarnation = incarnation
        for line in lines:
            line.acked, line.acked_version, line.safe = line.base, 0, line.base

    def prune(self, session: bytes, through: int) -> None:
        line = self.lines[session]
        assert line.base < through <= min(line.safe, line.acked), "only what a backup of central holds is pruned"
        digest = self._facts[line.position(through)][1]
        gone: list[Write] = [("fact", line.position(seq), GONE) for seq in range(line.base + 1, through + 1)]
        self._commit("prune", [("base", line.number, (through, digest)), *gone])
        line.base, line.base_hash = through, digest

    def forget_settled(self, session: bytes, through: int, limit: int) -> int:
        line = self.lines[session]
        first, last = line.position(0), line.position(through)
        codes = [code for code, (_, position) in self._overlay.items() if first <= position <= last][:limit]
        if codes:
            self._commit("forget", [("overlay", code, GONE) for code in codes])
        return len(codes)

    def query(self, statement: str, *values: Any) -> list[_Row]:
        """The statements of the code that asks, by name; a new one needs its answer here."""
        return self._answers[statement](*values)

    def write(self, statement: str, rows: Sequence[_Row]) -> None:
        """Keep or drop recall sets."""
        assert statement in {recalls._KEEP, recalls._DROP}, f"no answer here to: {statement}"
        is_kept = statement == recalls._KEEP
        self._commit("recalls", [("recall_set", row[0], row if is_kept else GONE) for row in rows])

    def _commit(self, name: str, writes: list[Write]) -> None:
        self._perils.point(f"{name}.write")
        self._disk.write(writes)
        self._perils.point(f"{name}.sync")
        self._disk.sync()
        self._perils.point(f"{name}.synced")

    def _facts_from(self, first: int, last: int, limit: int) -> list[_Row]:
        found = []
        for position in range(first, min(last + 1, first + limit)):
            row = self._facts.get(position)
            if row is None:
                break
            found.append((position, *row))
        return found

    def _hash_at(self, position: int) -> list[_Row]:
        row = self._facts.get(position)
        return [(row[1],)] if row else []

    def _recall_sets(self) -> list[_Row]:
        return sorted(self._disk.tables["recall_set"].values(), reverse=True)

    def _first_touched(self) -> list[_Row]:
        return [(min((position for _, position in self._overlay.values()), default=None),)]


def _read_lines(disk: Disk) -> list[Line]:
    facts = disk.tables["fact"]
    heads: dict[int, int] = {}
    for position in facts:
        number = position >> SEQ_BITS
        heads[number] = max(heads.get(number, 0), position)
    lines = []
    for number, (start, acked, version, safe) in sorted(disk.tables["session"].items()):
        base, base_hash = disk.tables["base"][number]
        position = heads.get(number)
        head, head_hash = (position & _SEQ_MASK, facts[position][1]) if position else (base, base_hash)
        lines.append(
            Line(
                number=number,
                start=start,
                head=head,
                head_hash=head_hash,
                acked=acked,
                acked_version=version,
                safe=safe,
                base=base,
                base_hash=base_hash,
                parted=disk.tables["parted"].get(number),
                again_from=disk.tables["again_from"].get(number, 0),
            )
        )
    return in_order(lines)


class DictReplica:
    """Stands in for ``edge_agent.store.replica.Replica``. Holds items: the workload has no other rows."""

    is_trusting = False
    """For mutants: takes any delta, wherever it starts."""

    def __init__(self, disk: Disk, perils: Perils) -> None:
        self.is_damaged = False
        self._disk = disk
        self._perils = perils
        self._built: _Copy | None = None
        self.wholes: dict[str, Whole] = {}
        """Snapshots that were fetched."""
        self.items = disk.tables["item"]
        self.version, self.as_of_us, self.incarnation = disk.tables["cursor"].get(1, (0, 0, 0))

    async def apply(self, delta: Delta, *, as_of_us: int) -> None:
        assert self.is_trusting or delta.after == self.version, "the downlink machine applies a delta only at its start"
        self._perils.point("replica.write")
        writes: list[Write] = [("item", item.code, item) for item in delta.rows.items]
        self._disk.write([*writes, ("cursor", 1, (delta.to, as_of_us, delta.incarnation))])
        self._perils.point("replica.written")
        self.version, self.as_of_us, self.incarnation = delta.to, as_of_us, delta.incarnation

    async def make_durable(self) -> None:
        self._disk.sync()

    def confirm(self, *, as_of_us: int) -> None:
        self._disk.write([("cursor", 1, (self.version, as_of_us, self.incarnation))])
        self.as_of_us = as_of_us

    def scan(self) -> Scan:
        return DictScan.of(cast("Replica", self), dict(self.items))

    async def repair(self, bucket: Bucket) -> int:
        assert self.is_trusting or bucket.version == self.version, "the comparing machine compares at one version only"
        writes = mending(self.items, bucket)
        self._perils.point("repair.write")
        self._disk.write(writes)
        return len(writes)

    def adopt(self, whole: Path) -> None:
        found = self.wholes[whole.name]
        self._perils.point("adopt.snapshot")
        self._built = _Copy(items=dict(found.items), version=found.version, incarnation=found.incarnation)

    def build(self) -> None:
        self._built = _Copy()

    async def build_on(self, delta: Delta, *, as_of_us: int) -> None:  # noqa: ARG002 -- the shape it stands in for
        assert self._built is not None, "the downlink machine asks for a rebuild first"
        self._perils.point("rebuild.write")
        self._built.items.update((item.code, item) for item in delta.rows.items)
        self._built.version, self._built.incarnation = delta.to, delta.incarnation

    def swap(self, *, as_of_us: int) -> None:
        """In one step, as a rename is: never is there a part of both."""
        assert self._built is not None, "the downlink machine asks for a rebuild first"
        built, self._built = self._built, None
        gone: list[Write] = [("item", code, GONE) for code in self.items if code not in built.items]
        fresh: list[Write] = [("item", code, item) for code, item in built.items.items()]
        self._perils.point("swap.write")
        self._disk.write([*gone, *fresh, ("cursor", 1, (built.version, as_of_us, built.incarnation))])
        self._disk.sync()
        self._perils.point("swap.written")
        self.version, self.as_of_us, self.incarnation = built.version, as_of_us, built.incarnation

    def reset(self) -> None:
        for rows in self._disk.tables.values():
            rows.clear()
        self._disk.sync()
        self.version = self.as_of_us = self.incarnation = 0
        self.is_damaged = False


class _Copy(msgspec.Struct):
    """The replica that is being built: it is gone with the process."""

    items: dict[str, Item] = {}
    version: int = 0
    incarnation: int = 0


class DictStores:
    def __init__(self, journal: DictJournal, replica: DictReplica, overlay: dict[str, tuple[Item, int]]) -> None:
        self.journal = cast("Journal", journal)
        self._journal = journal
        self.replica = cast("Replica", replica)
        self._overlay = overlay
        self._items: dict[str, Item] = replica.items

    @property
    def partings(self) -> int:
        return self._journal.partings

    def item(self, code: str) -> Item | None:
        touched = self._overlay.get(code)
        return touched[0] if touched else self._items.get(code)

    def overlay(self) -> dict[str, int]:
        return {code: position for code, (_, position) in self._overlay.items()}

    def touched_at(self, code: str) -> int | None:
        touched = self._overlay.get(code)
        return touched[1] if touched else None

    def shown(self) -> Mapping[str, Item]:
        return self._items

    def drift(self, code: str, item: Item | None) -> None:
        if item is None:
            self._items.pop(code)
        else:
            self._items[code] = item

    def close(self) -> None:
        """Nothing is held."""


class DictMedium:
    """Two disks, as the shipped agent has two files. The replica's is synced when nobody looks, or asks for it."""

    def __init__(self, journal: Disk | None = None, replica: Disk | None = None) -> None:
        self._journal = journal or Disk(
            "session", "base", "parted", "again_from", "fact", "overlay", "setting", "recall_set", "leased"
        )
        self._replica = replica or Disk("item", "cursor")

    def open(self, *, device: str, session: bytes, started_us: int, perils: Perils, is_resumed: bool) -> DictStores:
        journal = DictJournal.open(
            self._journal,
            device=device,
            session=session,
            started_us=started_us,
            perils=perils,
            is_resumed=is_resumed,
        )
        return DictStores(journal, DictReplica(self._replica, perils), self._journal.tables["overlay"])

    def crashed(self, random: Random, *, is_power: bool) -> None:
        for disk in (self._journal, self._replica):
            if is_power:
                disk.lose_power(random)
            else:
                disk.sync()

    def image(self, folder: Path) -> "DictMedium":  # noqa: ARG002 -- files need one
        return DictMedium(self._journal.image(), self._replica.image())

    def fresh(self, folder: Path) -> "DictMedium":  # noqa: ARG002 -- files need one
        return DictMedium()
