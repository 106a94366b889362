"""Stores and recorder of one agent, put together as its composition root does, on a folder and a replica."""

import os
from pathlib import Path
from zoneinfo import ZoneInfo

from edge_agent.check import Stock
from edge_agent.clock import SystemClock, Watch
from edge_agent.recorder import Recorder
from edge_agent.store.folder import JOURNAL, DataFolder
from edge_agent.store.journal import Journal
from edge_agent.store.overlay import Overlay
from edge_agent.store.replica import Replica
from tests.unit.edge_core.granting import Hand

DEVICE = "cabinet-1"


class Workplace:
    def __init__(self, folder: Path, replica: Path, *, device: str = DEVICE) -> None:
        self.clock = SystemClock()
        self.watch = Watch(self.clock, ZoneInfo("Asia/Shanghai"))
        self.data = DataFolder.hold(folder)
        self.journal = Journal.open(
            folder / JOURNAL, device=device, session=os.urandom(16), started_us=self.clock.wall_us()
        )
        self.replica = Replica(replica)
        self.stock = Stock(Overlay(self.journal), self.replica, self.clock.wall_us)
        self.hand = Hand(self.journal, self.clock)
        self.recorder = Recorder(
            journal=self.journal,
            stock=self.stock,
            watch=self.watch,
            data=self.data,
            rights=self.hand.rights,
            location="ward-00",
            device=device,
        )

    def close(self) -> None:
        self.replica.close()
        self.journal.close()
        self.data.release()
