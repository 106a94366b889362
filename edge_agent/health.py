"""How the agent stands, in one report and one honest sentence."""

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from drivers.abilities import Device
from drivers.readings import DeviceHealth
from edge_agent.check import Stock
from edge_agent.recall_notice import RecalledHere, RecallNotices
from edge_agent.recorder import Recorder
from edge_agent.safe_mode import Failing, SafeMode
from edge_agent.store.journal import Journal
from edge_agent.store.outgoing import waiting
from edge_agent.sync.state import Download, Drift, RecallTrouble, SyncState
from sync_protocol.degraded import Allowance, Class
from sync_protocol.lifecycle import Refusal


class Sentence(StrEnum):
    """Keys of the sentence. Its arguments are ``facts``, ``oldest_s`` and ``cause``."""

    ALL_IN_LEDGER = "all_in_ledger"
    ALL_IN_LEDGER_OFFLINE = "all_in_ledger_offline"
    ON_THE_WAY = "on_the_way"
    WAITING_FOR_BROKER = "waiting_for_broker"
    WAITING_FOR_CENTRAL = "waiting_for_central"
    CENTRAL_REFUSED = "central_refused"
    NOT_RECORDING = "not_recording"


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    location: str
    facts_waiting: int
    """Facts of this device that are not in the ledger yet."""
    oldest_waiting_s: float | None
    sentence_key: Sentence
    sentence_args: dict[str, str | int]
    replica_version: int
    replica_latest: int
    """The highest ledger version heard of: above ``replica_version`` while the replica catches up."""
    replica_age_s: float | None
    """Seconds since the replica was known to be up to date; None: never."""
    is_connected: bool
    """Broker and central both answer."""
    shows_own_facts: bool
    """Items are shown as this device's own facts left them: the ledger's word for them is on its way."""
    cause: str
    """Why not, or what a person must look at; empty if all is well."""
    devices: tuple[DeviceHealth, ...]
    recent_refusals: tuple[Refusal, ...]
    recall_version: int = 0
    recall_trouble: RecallTrouble | None = None
    recalled_here: tuple[RecalledHere, ...] = ()
    """Active recalls of what is at this place."""
    snapshot: Download | None = None
    """A whole replica is on its way."""
    snapshot_trouble: str = ""
    """Why the last one did not come."""
    drift: Drift | None = None
    """Items of the replica that were silently wrong, and are put right."""
    degraded: dict[Class, Allowance] = {}
    """X09: classes of products that may not be issued as ever, because the replica is old."""
    late_refusals: tuple[Refusal, ...] = ()
    """X02: what was recorded here and does not fit the ledger: another place was first."""
    failing: tuple[Failing, ...] = ()
    """Parts that safe mode goes on without."""

    @property
    def is_recording(self) -> bool:
        return self.sentence_key is not Sentence.NOT_RECORDING


class Health:
    def __init__(
        self,
        *,
        journal: Journal,
        stock: Stock,
        recorder: Recorder,
        sync: SyncState,
        devices: Sequence[Device],
        now_us: Callable[[], int],
        safe_mode: SafeMode,
    ) -> None:
        self._journal = journal
        self._stock = stock
        self._recorder = recorder
        self._sync = sync
        self._devices = devices
        self._now_us = now_us
        self._safe_mode = safe_mode
        self._notices = RecallNotices(recorder.recalls, stock, sync, location=recorder.location, now_us=now_us)

    def snapshot(self) -> HealthReport:
        """Raises StoreError if the journal cannot be read."""
        open_facts = waiting(self._journal, self._sync.acked)
        oldest_s = None if open_facts.since_us is None else max(0.0, (self._now_us() - open_facts.since_us) / 1e6)
        sync = self._sync
        cause = self._journal.trouble or sync.alarm or sync.store_trouble
        if not cause and not sync.is_welcome:
            cause = sync.forged or sync.cause
        return HealthReport(
            device=self._recorder.device,
            location=self._recorder.location,
            facts_waiting=open_facts.facts,
            oldest_waiting_s=oldest_s,
            sentence_key=self._sentence(open_facts.facts),
            sentence_args={"facts": open_facts.facts, "oldest_s": int(oldest_s or 0), "cause": cause},
            replica_version=self._stock.version,
            replica_latest=max(self._stock.version, sync.latest),
            replica_age_s=self._stock.age_s,
            is_connected=sync.is_connected and sync.is_welcome,
            shows_own_facts=self._stock.shows_own_facts,
            cause=cause,
            devices=tuple(device.health for device in self._devices),
            recent_refusals=tuple(self._recorder.recent_refusals),
            recall_version=self._recorder.recalls.version,
            recall_trouble=sync.recall_trouble,
            recalled_here=self._notices.here(),
            snapshot=sync.snapshot,
            snapshot_trouble=sync.snapshot_trouble,
            drift=sync.drift,
            degraded=self._recorder.degraded.now(),
            late_refusals=sync.late,
            failing=tuple(self._safe_mode.failing.values()),
        )

    def seen(self) -> None:
        """Somebody has read the late refusals."""
        self._sync.late = ()

    def _sentence(self, facts: int) -> Sentence:
        sync = self._sync
        if self._journal.trouble:
            return Sentence.NOT_RECORDING
        if sync.alarm:
            return Sentence.CENTRAL_REFUSED
        if facts == 0:
            return Sentence.ALL_IN_LEDGER if sync.is_welcome else Sentence.ALL_IN_LEDGER_OFFLINE
        if not sync.is_connected:
            return Sentence.WAITING_FOR_BROKER
        return Sentence.ON_THE_WAY if sync.is_welcome else Sentence.WAITING_FOR_CENTRAL
