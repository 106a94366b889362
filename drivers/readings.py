"""What devices report. Raw observations: what they mean in the ward is decided in ``edge_agent.intake``."""

from enum import StrEnum

import msgspec


class ScanFlaw(StrEnum):
    """Why the bytes of a scan cannot be one code. The bytes are kept as evidence (at most 4 kB)."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    NUL = "nul"
    PARTIAL = "partial"


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """One frame of a barcode scanner: its data without AIM identifier and suffix."""

    source: str
    data: bytes
    aim: str | None = None
    flaw: ScanFlaw | None = None


class TagRead(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One tag in one inventory round. ``epc`` is upper-case hex; ``rssi_dbm`` is the strongest of the round."""

    epc: str
    antenna: int
    rssi_dbm: int
    hits: int


class TagRound(msgspec.Struct, frozen=True, kw_only=True):
    """All tags heard in one inventory round."""

    source: str
    tags: tuple[TagRead, ...]
    duration_s: float
    power_dbm: float | None = None


class DoorState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class PackagerDose(msgspec.Struct, frozen=True, kw_only=True):
    """One product in one pouch: which drug, how many units, at what time it is to be taken (HHMM)."""

    product: str
    quantity: int
    codes: tuple[str, ...]


class PackagerJob(msgspec.Struct, frozen=True, kw_only=True):
    """One pouch to make. ``job`` is our key: sending the same job twice makes one pouch."""

    job: str
    order: str
    patient: str
    take_at: str
    doses: tuple[PackagerDose, ...]


class PouchOutcome(StrEnum):
    DONE = "done"
    WASTED = "wasted"
    JAMMED = "jammed"
    UNKNOWN_PRODUCT = "unknown_product"
    EMPTY_CANISTER = "empty_canister"


class PouchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the packager says of one job. ``pouch`` is the machine's pouch number, empty if none was made."""

    source: str
    job: str
    outcome: PouchOutcome
    pouch: str
    message: str


class LinkState(StrEnum):
    CONNECTING = "connecting"
    READY = "ready"
    FAULTED = "faulted"


class DeviceHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a device can be used right now and, if not, why and since when the driver has tried."""

    name: str
    driver: str
    state: LinkState
    cause: str = ""
    attempts: int = 0
