"""What the faces of central (api, fhir, console) may call. Built once, in ``app``."""

import dataclasses
from collections.abc import Callable
from enum import StrEnum

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from central.changes import Changes
from central.clock import HospitalTime
from central.connectors.queue import SalesQueue
from central.indicators.scans import Shifts
from central.ledger.pool_counts import PoolCounts
from central.ledger.read_base_stock import Uses
from central.ledger.write import Ledger
from central.stock.base_stock import BaseStock
from central.stock.device_keys import DeviceKeys
from central.stock.exceptions import Exceptions
from central.stock.loans import Loans
from central.stock.masterdata import MasterData
from central.stock.orders import Orders
from central.stock.people import People
from central.stock.places import Places
from central.stock.quarantine import Quarantine
from central.stock.recalls import Recalls
from central.stock.receiving import Receiving
from central.stock.requisitions import Requisitions
from central.stock.roles import Roles
from central.stock.stocktake import Stocktakes
from central.stock.usage import Usages


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How one part of central is. ``cause`` is empty while it is well.

    ``part``: ledger, life (which of several lives of the ledger this is), refill, broker, ingest, devices (who may
    speak), recalls, snapshots, insurer or msfx (the code platform).
    """

    part: str
    cause: str = ""
    advice: str = ""

    @property
    def is_ok(self) -> bool:
        return not self.cause


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """Which life of the ledger this is, and what it still lacks after a restore (REQ-03).

    ``superseded``: a higher incarnation that an agent has met; 0: none. ``waiting_for``: agents that have not given
    back all they hold; ``ends_us``: when that is waited for no longer.
    """

    incarnation: int
    superseded: int = 0
    is_refilling: bool = False
    waiting_for: tuple[str, ...] = ()
    ends_us: int = 0


UNHEARD = "unheard"
"""The ledger was restored, and nobody gets anything new before this agent has said what it holds."""


class Deciding(StrEnum):
    """What of the leases is on its way."""

    NOTHING = "nothing"
    SHARES = "shares"
    """Something is about to be shared among agents."""
    ORDERS = "orders"
    """What orders wait for is asked back, or has just come back."""


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent may issue without asking, for people. ``standing``: live, gone, doubt, fenced or unheard.

    ``held``: how many codes it keeps from others, ``waiting``: how many of these it gave back and the ledger waits for
    its facts, ``missing``: how many a count did not find. ``over_us``: when it has surely stopped issuing.
    """

    device: str
    location: str
    standing: str
    held: int
    waiting: int
    missing: int
    expires_us: int
    over_us: int
    may_end: bool


class EndLease(msgspec.Struct, frozen=True, kw_only=True):
    """Two people answer for a silent or doubtful agent. ``found``: its codes that are there, or ``is_all``."""

    device: str
    operator: str
    witness: str
    reason: str
    found: tuple[str, ...] = ()
    is_all: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """``read`` is for queries only: its connections refuse to write."""

    ledger: Ledger
    receiving: Receiving
    orders: Orders
    usage: Usages
    masterdata: MasterData
    people: People
    roles: Roles
    exceptions: Exceptions
    recalls: Recalls
    places: Places
    requisitions: Requisitions
    quarantine: Quarantine
    loans: Loans
    stocktakes: Stocktakes
    base_stock: BaseStock
    uses: Uses
    device_keys: DeviceKeys
    sales: SalesQueue
    changes: Changes
    time: HospitalTime
    read: AsyncEngine
    pool_counts: PoolCounts
    conditions: Callable[[], tuple[Condition, ...]]
    """How central is, for /healthz and the console."""
    life: Callable[[], Life]
    end_refill: Callable[[str], None]
    """End the refilling in the name of a person. Raises BusyError."""
    leases: Callable[[], tuple[LeaseView, ...]]
    deciding_leases: Callable[[], Deciding]
    end_lease: Callable[[EndLease], int]
    """Give others what was counted; how many codes. Raises RequestError, BusyError."""
    shifts: Shifts
