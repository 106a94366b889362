"""What the faces of central (api, fhir, console) may call. Built once, in ``app``."""

import dataclasses
from collections.abc import Callable

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from central.changes import Changes
from central.clock import HospitalTime
from central.ledger.write import Ledger
from central.stock.exceptions import Exceptions
from central.stock.masterdata import MasterData
from central.stock.orders import Orders
from central.stock.people import People
from central.stock.recalls import Recalls
from central.stock.receiving import Receiving
from central.stock.usage import Usages


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How one part of central is, as ledger, broker, ingest, recalls, insurer. ``cause`` is empty while it is well."""

    part: str
    cause: str = ""
    advice: str = ""

    @property
    def is_ok(self) -> bool:
        return not self.cause


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """``read`` is for queries only: its connections refuse to write."""

    ledger: Ledger
    receiving: Receiving
    orders: Orders
    usage: Usages
    masterdata: MasterData
    people: People
    exceptions: Exceptions
    recalls: Recalls
    changes: Changes
    time: HospitalTime
    read: AsyncEngine
    conditions: Callable[[], tuple[Condition, ...]]
    """How central is, for /healthz and the console."""
