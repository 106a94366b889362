"""Silent drift of replicas: a round names a version, and agents that are there say what they hold (REQ-06).

One reading of the ledger serves all agents: it is summed up as it was at that version, in a read transaction of its
own, a few rows at a time, while commits go on. An agent whose sums differ is told in which buckets, asks for their
items and puts its rows right; the items are read at the version that the answer names.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from random import Random

import msgspec
import structlog

from central.errors import BusyError
from central.ledger import rows, statements
from central.ledger.changed import lacks, spoken_after
from central.ledger.staging import in_chunks
from central.ledger.write import Ledger
from central.sync.publish import Publisher
from sync_protocol import digests
from sync_protocol.messages import AskBucket, Bucket, Compare, Differ, Digest, Mended

COMPARE_S = 1800.0
"""Twice an hour: who misses a round, because it was behind or away, is in one within the hour."""
EARLIEST = 0.8
"""Part of the period after which a round may come: several centrals of a region need not do so together."""
STEP = 50
_PAUSE_S = 0.001
_CODES = 500
MOST_ITEMS = 4_000
"""Of one answer."""
MOST_CACHED = 8
MOST_SINCE = 20_000
"""Items that changed since the codes of a bucket were read: past it they are read again."""
_ANY = 1 << 62
_CODES_AFTER = "SELECT code FROM item WHERE code > ? ORDER BY code LIMIT ?"
_NOTE = "INSERT INTO drift (device, found_us, version, items) VALUES (?, ?, ?, ?)"
_log = structlog.get_logger("central.comparing")


class _Codes(msgspec.Struct, frozen=True, kw_only=True):
    """Codes of a bucket as of a version; none is ever taken out of a ledger."""

    version: int
    codes: frozenset[str]


class Comparing:
    def __init__(self, ledger: Ledger, publisher: Publisher, *, every_s: float, random: Random) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._every_s = every_s
        self._random = random
        self._round: Compare | None = None
        self._sums: digests.Digests | None = None
        self._told: dict[str, Digest] = {}
        self._codes: dict[int, _Codes] = {}
        self._asked: asyncio.Queue[tuple[str, AskBucket]] = asyncio.Queue(MOST_CACHED)

    async def run(self) -> None:
        """Hold rounds and answer questions, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hold_rounds(), name="comparing: rounds")
            tasks.create_task(self._answer(), name="comparing: buckets")

    def take(self, device: str, message: Digest | AskBucket | Mended) -> None:
        if message.incarnation != self._ledger.incarnation:
            return
        match message:
            case Digest():
                self._told[device] = message
                self._judge()
            case AskBucket():
                if not self._asked.full():  # it asks again
                    self._asked.put_nowait((device, message))
            case Mended():
                self._note(device, message)

    async def hold_round(self) -> None:
        """Name the present version, sum the ledger up as it is now, judge who has answered. Raises sqlite3.Error."""
        if self._ledger.is_refilling:
            return
        async with self._reading() as reading:
            self._open_round()
            sums, after = digests.empty(), ""
            while items := rows.items_of(reading.execute(statements.ITEMS_AFTER, (after, STEP))):
                for item in items:
                    digests.add(sums, item)
                after = items[-1].code
                await asyncio.sleep(_PAUSE_S)
        self._close_round(tuple(sums))

    def _open_round(self) -> None:
        self._round = Compare(version=self._ledger.version, incarnation=self._ledger.incarnation)
        self._sums, self._told = None, {}
        self._publisher.announce(self._round)

    def _close_round(self, sums: digests.Digests) -> None:
        self._sums = sums
        self._judge()

    async def _hold_rounds(self) -> None:
        while self._every_s:
            await asyncio.sleep(self._every_s * self._random.uniform(EARLIEST, 1.0))
            try:
                await self.hold_round()
            except sqlite3.Error as error:
                _log.warning("replicas not compared", cause=str(error))

    def _judge(self) -> None:
        """Of those who have said what they hold, when we know it too."""
        if self._sums is None or self._round is None:
            return
        told, self._told = self._told, {}
        for device, digest in told.items():
            if digest.version != self._round.version:
                continue
            buckets = digests.differing(digests.unpack(digest.sums), self._sums)
            if buckets:
                _log.error("replica drifted", device=device, version=digest.version, buckets=len(buckets))
                differ = Differ(version=digest.version, incarnation=digest.incarnation, buckets=buckets)
                self._publisher.tell(device, differ)

    async def _answer(self) -> None:
        while True:
            await self.reply(*await self._asked.get())

    async def reply(self, device: str, ask: AskBucket) -> None:
        try:
            self._publisher.tell(device, await self.bucket(ask))
        except sqlite3.Error as error:
            _log.warning("bucket not read", device=device, cause=str(error))

    async def bucket(self, ask: AskBucket) -> Bucket:
        """What the ledger has of a bucket now. Raises sqlite3.Error."""
        known = self._codes.get(ask.bucket)
        if known is None or lacks(self._ledger.connection, known.version, MOST_SINCE):
            known = await self._codes_of(ask.bucket)
        # From here on without giving up the loop: so it is what the ledger has at this version.
        connection, version = self._ledger.connection, self._ledger.version
        since = spoken_after(connection, known.version, _ANY)
        new = {code for _, codes in since for code in codes if digests.bucket_of(code) == ask.bucket}
        codes = known.codes | new
        self._keep(ask.bucket, _Codes(version=version, codes=codes))
        wanted = sorted(code for code in codes if code > ask.after)
        items = tuple(rows.items_of(in_chunks(connection, statements.ITEMS, wanted[:MOST_ITEMS])))
        to = wanted[MOST_ITEMS - 1] if len(wanted) > MOST_ITEMS else ""
        return Bucket(
            bucket=ask.bucket,
            version=version,
            incarnation=self._ledger.incarnation,
            after=ask.after,
            to=to,
            items=items,
        )

    def _keep(self, bucket: int, codes: _Codes) -> None:
        self._codes.pop(bucket, None)
        self._codes[bucket] = codes
        while len(self._codes) > MOST_CACHED:
            del self._codes[next(iter(self._codes))]

    async def _codes_of(self, bucket: int) -> _Codes:
        found, after = set(), ""
        async with self._reading() as reading:
            version = self._ledger.version
            while page := [row[0] for row in reading.execute(_CODES_AFTER, (after, _CODES))]:
                found |= {code for code in page if digests.bucket_of(code) == bucket}
                after = page[-1]
                await asyncio.sleep(_PAUSE_S)
        return _Codes(version=version, codes=frozenset(found))

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[sqlite3.Connection]:
        """A connection to which the ledger stays what it is now."""
        uri = f"{self._ledger.path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as reading:
            reading.execute("BEGIN")
            reading.execute(statements.READ_META, ("version",)).fetchone()
            yield reading

    def _note(self, device: str, mended: Mended) -> None:
        _log.error("replica mended", device=device, version=mended.version, items=mended.items)
        row = (device, self._ledger.time.now_us(), mended.version, mended.items)
        with contextlib.suppress(BusyError):  # the ledger says so itself
            self._ledger.write(lambda connection: connection.execute(_NOTE, row))
