"""Mutants of the way down: deltas, cursors, pulls, the replica's own promises."""

from collections.abc import Sequence

import msgspec

from sync_protocol.items import Item
from sync_protocol.machines import comparing, downlink
from sync_protocol.machines.bootstrap import Fetched
from sync_protocol.machines.comparing import Comparing, Compute, Place
from sync_protocol.machines.downlink import Applied, Apply, Arrived, Downlink, Effect, joined
from sync_protocol.messages import Bucket, Compare, Delta, Differ
from tests.simulation import dict_stores
from tests.simulation.dict_books import DictPublisher
from tests.simulation.dict_stores import DictReplica
from tests.simulation.disk import Write
from tests.simulation.mutant import Mutant


class StaleDelta(Downlink):
    """Applies what it is past of."""

    def _arrived(self, event: Arrived) -> list[Effect]:
        if event.delta.rows.count and event.delta.to <= self._cursor:
            return [Apply(delta=event.delta)]
        return super()._arrived(event)


class OffCursor(Downlink):
    """Applies what starts beyond its cursor."""

    def _arrived(self, event: Arrived) -> list[Effect]:
        if event.delta.after > self._cursor:
            return [Apply(delta=event.delta)]
        return super()._arrived(event)


class CursorRuns(Downlink):
    """Takes the ledger's version for its own once anything was applied."""

    def _applied(self, event: Applied) -> list[Effect]:
        super()._applied(event)
        self._cursor = self._latest
        return []


class WaitsForAnswer(Downlink):
    """Asks once, and waits for the answer for ever."""

    @property
    def wake_us(self) -> int | None:
        return None if self._pulling_since_us is not None else super().wake_us


class NeverPolls(Downlink):
    """Trusts that it hears of every commit."""

    @property
    def wake_us(self) -> int | None:
        return None if self._pulling_since_us is None else super().wake_us


class ForgetsGap(Downlink):
    """Passes over a broadcast that does not start at its cursor and asks for nothing, not even when it is quiet."""

    def _arrived(self, event: Arrived) -> list[Effect]:
        if event.delta.after > self._cursor:
            self._pulling_since_us = None
            self._quiet_since_us = event.now_us
            return []
        return super()._arrived(event)

    @property
    def wake_us(self) -> int | None:
        return None


async def _cursor_first(replica: DictReplica, delta: Delta, *, as_of_us: int) -> None:
    """The cursor in one transaction, the rows in the next."""
    replica._disk.write([("cursor", 1, (delta.to, as_of_us, delta.incarnation))])
    replica._disk.sync()
    replica._perils.point("replica.write")
    rows: list[Write] = [("item", item.code, item) for item in delta.rows.items]
    replica._disk.write(rows)
    replica._perils.point("replica.written")
    replica.version, replica.as_of_us, replica.incarnation = delta.to, as_of_us, delta.incarnation


async def _not_durable(_replica: DictReplica) -> None:
    """Said, and not done."""


_delta = DictPublisher.delta


def _late_delta(publisher: DictPublisher, after: int) -> Delta:
    """Begins one commit too late, and says that it did not."""
    found = _delta(publisher, min(after + 1, publisher._ledger.version))
    return msgspec.structs.replace(found, after=after)


def _downlink(name: str, wrong: str, machine: type[Downlink], *, is_trusting: bool = False) -> Mutant:
    patches = ((downlink, "Downlink", machine), (DictReplica, "is_trusting", is_trusting))
    return Mutant(name=name, wrong=wrong, patches=patches)


class DigestOfAnyVersion(Comparing):
    """Sums up its replica wherever it is, and says that it was where it was asked to be."""

    def asked(self, compare: Compare) -> list[comparing.Effect]:
        self._wanted_by = compare
        return [Compute(place=self._place)]

    def computed(self, place: Place, sums: bytes) -> list[comparing.Effect]:
        return super().computed(msgspec.structs.replace(place, version=self._wanted_by.version), sums)


class DeafToDrift(Comparing):
    """Is told that its replica differs, and does nothing."""

    def differ(self, differ: Differ, now_us: int) -> list[comparing.Effect]:  # noqa: ARG002 -- that is what is wrong
        return []


def _mend_only_wrong(items: dict[str, Item], bucket: Bucket) -> list[Write]:
    """Rows that are not there stay away."""
    return [("item", item.code, item) for item in bucket.items if items.get(item.code, item) != item]


class SnapshotGoesBack(Downlink):
    """Takes a snapshot that deltas have overtaken, and at once."""

    def _of_snapshot(self, event: downlink.OfSnapshot) -> list[Effect]:
        if isinstance(event, Fetched) and self._bootstrap.is_awaited(event.offer):
            return [downlink.Adopt(offer=event.offer)]
        super_effects = super()._of_snapshot(event)
        return [downlink.Swap()] if isinstance(event, downlink.Adopted) else super_effects


class SnapshotThenOldDelta(Downlink):
    """With a snapshot beside, it goes on as if it were where the replica in use is."""

    def _arrived(self, event: Arrived) -> list[Effect]:
        delta = event.delta
        if self.is_rebuilding and self._at < delta.to and delta.after > self._at:
            return [Apply(delta=delta, is_rebuild=True)]
        return super()._arrived(event)


def _joined_backwards(deltas: Sequence[Delta]) -> Delta:
    """Of a row that changed twice, the first."""
    whole = joined(deltas)
    return msgspec.structs.replace(whole, rows=joined(deltas[::-1]).rows)


DOWN = (
    _downlink("stale_delta", "a delta that ends before the cursor is applied", StaleDelta, is_trusting=True),
    _downlink("off_cursor", "a delta that starts beyond the cursor is applied", OffCursor, is_trusting=True),
    _downlink(
        "cursor_runs", "the cursor follows what was heard of, not what was applied", CursorRuns, is_trusting=True
    ),
    _downlink("waits_for_answer", "a pull whose answer is lost is not repeated", WaitsForAnswer),
    _downlink("never_polls", "a lost broadcast is never asked for", NeverPolls),
    _downlink("forgets_gap", "a gap in the broadcasts is passed over", ForgetsGap),
    Mutant(
        name="joined_backwards",
        wrong="of a row that changed in two pages written together, the older is written",
        patches=((downlink, "joined", _joined_backwards),),
    ),
    Mutant(
        name="between_pages",
        wrong="the overlay is let go while the replica is between two pages of a pull",
        patches=((Downlink, "is_whole", True),),
    ),
    Mutant(
        name="cursor_before_rows",
        wrong="the cursor is committed before the rows",
        patches=((DictReplica, "apply", _cursor_first),),
    ),
    Mutant(
        name="replica_not_synced",
        wrong="the overlay is let go while the replica's rows are not on the disk",
        patches=((DictReplica, "make_durable", _not_durable),),
    ),
    Mutant(
        name="digest_of_any_version",
        wrong="a digest of another version is given for that of the version asked for",
        patches=((comparing, "Comparing", DigestOfAnyVersion),),
    ),
    Mutant(
        name="deaf_to_drift",
        wrong="a replica that drifted is found, and stays as it is",
        patches=((comparing, "Comparing", DeafToDrift),),
    ),
    Mutant(
        name="mends_only_wrong",
        wrong="rows that are gone from a replica are not put back",
        patches=((dict_stores, "mending", _mend_only_wrong),),
    ),
    _downlink("snapshot_goes_back", "a snapshot that deltas have overtaken is swapped in", SnapshotGoesBack),
    _downlink("delta_past_snapshot", "a delta that starts beyond a snapshot is applied to it", SnapshotThenOldDelta),
    Mutant(
        name="delta_begins_late",
        wrong="the answer to a pull lacks the first commit",
        patches=((DictPublisher, "delta", _late_delta),),
    ),
)
