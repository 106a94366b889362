"""One honest sentence about how the agent stands."""

from collections.abc import Sequence

from drivers.readings import DeviceHealth, LinkState
from edge_agent.health import Health, HealthReport, Sentence
from edge_agent.safe_mode import SafeMode
from edge_agent.sync.state import SyncState
from tests.unit.edge_core.shelf import Shelf, put_back, taken


class Lamp:
    """A device that only has a health."""

    name = "lamp-1"

    @property
    def health(self) -> DeviceHealth:
        return DeviceHealth(name=self.name, driver="lamp", state=LinkState.FAULTED, cause="unplugged")

    async def run(self) -> None: ...


def _report(shelf: Shelf, state: SyncState, devices: Sequence[Lamp] = ()) -> HealthReport:
    health = Health(
        journal=shelf.journal,
        stock=shelf.stock,
        recorder=shelf.recorder,
        sync=state,
        devices=devices,
        now_us=shelf.clock.wall_us,
        safe_mode=SafeMode(tell=lambda: None),
    )
    return health.snapshot()


async def test_the_sentence_follows_what_waits_and_why(shelf: Shelf) -> None:
    down = SyncState(cause="the broker is away")
    welcome = SyncState(is_connected=True, is_welcome=True, cause="")
    assert _report(shelf, welcome).sentence_key is Sentence.ALL_IN_LEDGER
    assert _report(shelf, down).sentence_key is Sentence.ALL_IN_LEDGER_OFFLINE
    await shelf.recorder.record(taken(1), taken(2))
    await shelf.recorder.record(taken(3))
    shelf.clock.now_us += 240_000_000
    waiting = _report(shelf, down)
    assert waiting.sentence_key is Sentence.WAITING_FOR_BROKER
    assert waiting.sentence_args == {"facts": 3, "oldest_s": 240, "cause": "the broker is away"}
    assert (waiting.facts_waiting, waiting.oldest_waiting_s, waiting.is_connected) == (3, 240.0, False)
    assert _report(shelf, SyncState(is_connected=True)).sentence_key is Sentence.WAITING_FOR_CENTRAL
    assert _report(shelf, welcome).sentence_key is Sentence.ON_THE_WAY
    shelf.journal.settle(shelf.journal.start.session, 3, 1)
    assert _report(shelf, welcome).sentence_key is Sentence.ALL_IN_LEDGER


async def test_own_facts_are_shown_until_the_replica_shows_them(shelf: Shelf) -> None:
    sync = SyncState(is_connected=True, is_welcome=True)
    assert not _report(shelf, sync).shows_own_facts
    await shelf.recorder.record(taken(1))
    session = shelf.journal.start.session
    shelf.journal.settle(session, 1, 2)
    report = _report(shelf, sync)
    assert (report.facts_waiting, report.shows_own_facts) == (0, True)
    shelf.journal.forget_settled(session, 1, 10)
    assert not _report(shelf, sync).shows_own_facts


async def test_what_a_person_must_look_at_comes_before_everything_else(shelf: Shelf) -> None:
    alarm = SyncState(is_connected=True, is_welcome=True, cause="", alarm="central refused; call the administrator")
    report = _report(shelf, alarm)
    assert (report.sentence_key, report.cause) == (Sentence.CENTRAL_REFUSED, alarm.alarm)
    shelf.journal.trouble = "the disk is full"
    report = _report(shelf, alarm)
    assert (report.sentence_key, report.cause) == (Sentence.NOT_RECORDING, "the disk is full")
    assert not report.is_recording


async def test_devices_and_recent_refusals_are_in_the_report(shelf: Shelf) -> None:
    await shelf.recorder.observe(put_back(1))
    report = _report(shelf, SyncState(latest=9), [Lamp()])
    assert [device.cause for device in report.devices] == ["unplugged"]
    assert [refusal.code for refusal in report.recent_refusals] == [put_back(1).codes[0]]
    assert (report.replica_version, report.replica_latest, report.replica_age_s) == (1, 9, 0.0)
