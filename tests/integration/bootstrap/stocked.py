"""A hospital with thousands of boxes, whose central has a snapshot ready."""

import asyncio
from pathlib import Path
from typing import Any

from hardware_sims.broker import Broker
from sync_protocol import replica_format
from sync_protocol.messages import Offer, Pull
from tests.integration.central_core.processes import connected
from tests.integration.recalls.house import PLACE, Agent, House, box, until
from tests.unit.central_core.desk import HandAgent

__all__ = ["PLACE", "Agent", "Stocked", "box", "until"]

NOTES, BOXES = 5, 2_000
SETTINGS = "snapshot_rows = 1000\ncompare_s = {compare_s}"


class Stocked(House):
    def __init__(self, folder: Path, broker: Broker, *, compare_s: float = 0.0) -> None:
        super().__init__(folder, broker, settings=SETTINGS.format(compare_s=compare_s))

    async def stock(self) -> None:
        for note in range(NOTES):
            await self.announce(*(box(note * BOXES + number) for number in range(BOXES)), lot=f"L{note}")

    async def snapshot(self) -> Offer:
        """Pull as an agent that is far behind until a snapshot is offered."""
        async with connected(HandAgent("asker"), self.broker.port) as asker, asyncio.timeout(30):
            while True:
                await asker.say(Pull(after=0, takes=replica_format.VERSION))
                try:
                    async with asyncio.timeout(0.2):
                        return await asker.hear(Offer)
                except TimeoutError:
                    continue

    def is_copied(self, agent: Agent) -> bool:
        return agent.replica.version == self.version and items_of(agent) == NOTES * BOXES


def items_of(agent: Agent) -> int:
    rows: list[tuple[Any, ...]] = agent.replica.query("SELECT count(*) FROM item")
    return int(rows[0][0])
