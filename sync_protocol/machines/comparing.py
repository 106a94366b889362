"""The agent's decision on silent drift: compare at one version with central, and put right what differs (REQ-06).

Central names a version, and whoever is exactly there says what its replica holds, in 256 numbers. Central answers with
the buckets that differ; their items are asked for and compared row by row, again only at exactly the same version:
a row of another one is not wrong but late. What goes amiss on the way is found again in the next round.
"""

import msgspec

from sync_protocol.messages import AskBucket, Bucket, Compare, Differ, Digest, Mended

ASK_AGAIN_AFTER_US = 3_000_000
MOST_ASKED = 20
"""Questions about one bucket: past it the ledger moves too fast, or nobody answers."""
MOST_BUCKETS = 32
"""Where more differ it is no drift but another copy: all of it is copied anew."""


ALL = -1
"""As the number of items put right: all is copied anew."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the replica in use is."""

    version: int
    incarnation: int


class Compute(msgspec.Struct, frozen=True, kw_only=True):
    """Sum up the replica as it is at this place, slowly; answer with ``computed``."""

    place: Place


class Send(msgspec.Struct, frozen=True, kw_only=True):
    message: Digest | AskBucket | Mended


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """Make the replica's rows of this part of a bucket these, in one transaction; answer with ``repaired``."""

    bucket: Bucket


class CopyAnew(msgspec.Struct, frozen=True, kw_only=True):
    """Too much differs to be put right row by row."""

    place: Place


Effect = Compute | Send | Repair | CopyAnew


class Comparing:
    """State machine of one replica, which is told of every move of it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._wanted: int | None = None
        self._buckets: tuple[int, ...] = ()
        self._after = ""
        self._asked = 0
        self._asked_us = 0
        self._mended = 0

    @property
    def wake_us(self) -> int | None:
        return self._asked_us + ASK_AGAIN_AFTER_US if self._buckets else None

    def moved(self, place: Place) -> list[Effect]:
        """The replica in use is at another place now."""
        if place.incarnation != self._place.incarnation:
            self.disconnected()
        self._place = place
        if self._wanted is None or place.version < self._wanted:
            return []
        wanted, self._wanted = self._wanted, None
        return [Compute(place=place)] if place.version == wanted else []

    def disconnected(self) -> None:
        """What was asked may never be answered."""
        self._wanted, self._buckets = None, ()

    def asked(self, compare: Compare) -> list[Effect]:
        if compare.incarnation != self._place.incarnation:
            return []
        self._wanted = compare.version
        return self.moved(self._place)

    def computed(self, place: Place, sums: bytes) -> list[Effect]:
        """What the replica held when it was at this place."""
        return [Send(message=Digest(version=place.version, incarnation=place.incarnation, sums=sums))]

    def differ(self, differ: Differ, now_us: int) -> list[Effect]:
        if differ.incarnation != self._place.incarnation or not differ.buckets or self._buckets:
            return []
        if len(differ.buckets) > MOST_BUCKETS:
            return [self._mended_at_this_place(ALL), CopyAnew(place=self._place)]
        self._buckets, self._after, self._mended, self._asked = differ.buckets, "", 0, 0
        return self._ask(now_us)

    def came(self, bucket: Bucket, now_us: int) -> list[Effect]:
        is_asked = bool(self._buckets) and (bucket.bucket, bucket.after) == (self._buckets[0], self._after)
        if not is_asked or bucket.incarnation != self._place.incarnation:
            return []
        if bucket.version != self._place.version:
            return self._ask(now_us) if bucket.version < self._place.version else []
        return [Repair(bucket=bucket)]

    def repaired(self, bucket: Bucket, items: int, now_us: int) -> list[Effect]:
        """``items``: how many rows of it were wrong, missing, or not of this ledger."""
        self._mended += items
        self._after, self._asked = bucket.to, 0
        if not bucket.to:
            self._buckets = self._buckets[1:]
        if self._buckets:
            return self._ask(now_us)
        return [self._mended_at_this_place(self._mended)]

    def tick(self, now_us: int) -> list[Effect]:
        is_due = self.wake_us is not None and now_us >= self.wake_us
        return self._ask(now_us) if is_due else []

    def _mended_at_this_place(self, items: int) -> Send:
        place = self._place
        return Send(message=Mended(version=place.version, incarnation=place.incarnation, items=items))

    def _ask(self, now_us: int) -> list[Effect]:
        if self._asked >= MOST_ASKED:
            self._buckets = ()
            return []
        self._asked += 1
        self._asked_us = now_us
        ask = AskBucket(bucket=self._buckets[0], after=self._after, incarnation=self._place.incarnation)
        return [Send(message=ask)]
