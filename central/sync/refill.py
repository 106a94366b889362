"""After a restore: agents give back what the ledger lacks before anything follows from it (REQ-03, fault 33).

While it lasts no replica is fed and no order gets an item: what looks free may be issued by a fact that is on its way
back. It ends by itself when every agent that was alive has given back all it holds, or when the time is over; a person
may end it before.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable

import structlog

from central.errors import BusyError
from central.ledger import statements
from central.ledger.write import Ledger
from central.stock.fulfilment import allocate_waiting
from central.stock.services import Life
from central.sync.agents import Agents

ALIVE_US = 7 * 86_400_000_000
"""An agent that was silent for so long before the backup was taken is not waited for."""
LOOK_EVERY_S = 0.5
_SINCE = "refill_since_us"
_log = structlog.get_logger("central.refill")


class Refill:
    """``superseded``: a higher incarnation that an agent has met, so that this central is the older of two."""

    def __init__(self, ledger: Ledger, agents: Agents, *, limit_s: float, on_end: Callable[[], None]) -> None:
        self.superseded = 0
        self._ledger = ledger
        self._agents = agents
        self._limit_us = int(limit_s * 1_000_000)
        self._on_end = on_end
        self._has_looked_back = False
        self._since_us = 0
        self._expected: tuple[str, ...] = ()
        self.look()

    @property
    def is_on(self) -> bool:
        return self._ledger.is_refilling

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Agents that have not given back everything yet."""
        return tuple(device for device in self._expected if not self._has_given(device)) if self.is_on else ()

    @property
    def ends_us(self) -> int:
        """When it ends at the latest."""
        return self._since_us + self._limit_us

    def life(self) -> Life:
        """For pages."""
        return Life(
            incarnation=self._ledger.incarnation,
            superseded=self.superseded,
            is_refilling=self.is_on,
            waiting_for=self.waiting_for,
            ends_us=self.ends_us if self.is_on else 0,
        )

    def look(self) -> None:
        """Begin what the ledger says is to be done: since a new incarnation, also through restarts of central."""
        row = self._ledger.connection.execute(statements.READ_META, (_SINCE,)).fetchone()
        self._ledger.is_refilling = row is not None
        if row is None:
            return
        self._since_us = int(row[0])
        heard = self._ledger.connection.execute(statements.LAST_HEARD).fetchall()
        latest_us = max((us for _, us in heard), default=0)
        self._expected = tuple(sorted(device for device, us in heard if us >= latest_us - ALIVE_US))
        _log.warning("ledger is being refilled", agents=self.waiting_for, at_most_s=self._limit_us // 1_000_000)

    def went_back(self) -> bool:
        """An agent proved that this ledger went back in time: a new life begins. False: that was known already.

        Once a start at most: a ledger cannot go back while central works on it, and an agent that claims so again is
        wrong. Raises BusyError.
        """
        if self._has_looked_back:
            return False
        self._ledger.begin_life()
        self._has_looked_back = True
        self.look()
        return True

    async def run(self) -> None:
        """End it when it is time, until cancelled."""
        while True:
            if self.is_on:
                with contextlib.suppress(BusyError):  # the ledger says so itself
                    self._end_if_due()
            await asyncio.sleep(LOOK_EVERY_S)

    def end(self, why: str) -> None:
        """Raises BusyError: it goes on."""
        if not self.is_on:
            return
        missing = self.waiting_for
        self._ledger.write(_forget)
        self._ledger.is_refilling = False
        _log.warning("refilling ended", why=why, missing=missing)
        self._ledger.commit(allocate_waiting)
        self._on_end()

    def _end_if_due(self) -> None:
        if not self.waiting_for:
            self.end("every agent has given back what it holds")
        elif self._ledger.time.now_us() >= self.ends_us:
            self.end("the time is over")

    def _has_given(self, device: str) -> bool:
        return self._agents.incarnation(device) == self._ledger.incarnation


def _forget(connection: sqlite3.Connection) -> None:
    connection.execute(statements.DELETE_META, (_SINCE,))
