"""Comparing on dictionaries: what differs between a replica and the ledger is found and decided by the shipped code."""

from random import Random
from typing import cast

from central.ledger.write import Ledger
from central.sync.comparing import Comparing
from central.sync.publish import Publisher
from edge_agent.store.replica import Replica
from edge_agent.store.scan import Scan
from sync_protocol import digests
from sync_protocol.items import Item
from sync_protocol.messages import AskBucket, Bucket
from tests.simulation.dict_tables import Tables
from tests.simulation.disk import GONE, Write


class DictComparing(Comparing):
    """Reads the ledger's tables in one go; rounds, judgements and questions are the shipped ones."""

    def __init__(self, ledger: Ledger, publisher: Publisher) -> None:
        super().__init__(ledger, publisher, every_s=0.0, random=Random(0))
        self._tables = cast("Tables", ledger.connection)

    async def hold_round(self) -> None:
        if self._ledger.is_refilling:
            return
        self._open_round()
        self._close_round(digests.digests_of(item for item, _ in self._tables.items.values()))

    async def bucket(self, ask: AskBucket) -> Bucket:
        found = (item for item, _ in self._tables.items.values() if digests.bucket_of(item.code) == ask.bucket)
        return Bucket(
            bucket=ask.bucket,
            version=self._ledger.version,
            incarnation=self._ledger.incarnation,
            after=ask.after,
            to="",
            items=tuple(sorted((item for item in found if item.code > ask.after), key=lambda item: item.code)),
        )


class DictScan:
    """Stands in for ``edge_agent.store.scan.Scan``: the rows of one moment."""

    def __init__(self, items: dict[str, Item], version: int, incarnation: int) -> None:
        self.version, self.incarnation = version, incarnation
        self.is_closed = False
        self._items = list(items.values())

    def step(self) -> bytes | None:
        return digests.pack(digests.digests_of(self._items))

    def close(self) -> None:
        self.is_closed = True

    @classmethod
    def of(cls, replica: Replica, items: dict[str, Item]) -> Scan:
        return cast("Scan", cls(items, replica.version, replica.incarnation))


def mending(items: dict[str, Item], bucket: Bucket) -> list[Write]:
    """What makes the rows of a bucket those of ``bucket``."""
    right = {item.code: item for item in bucket.items}
    own = {code for code in items if digests.bucket_of(code) == bucket.bucket and code > bucket.after}
    gone: list[Write] = [("item", code, GONE) for code in sorted(own - right.keys())]
    return gone + [("item", code, item) for code, item in right.items() if items.get(code) != item]
