"""sllurp on one side, our own hand on the other: what one writes the other reads."""

from random import Random

import pytest

from drivers.readings import TagRead
from drivers.wire import llrp_messages as wire
from drivers.wire.llrp import FrameError, MessageType, read_header
from hardware_sims.devices import llrp_frames as frames
from hardware_sims.devices.llrp_capabilities import Make, capabilities, configuration
from hardware_sims.devices.llrp_requests import RefusedError, read_rospec, read_settings
from hardware_sims.devices.llrp_rospecs import Memory

ALL_CONTENT = frames.Content(0xFFC0)
EPC = "E2801160600002040000002A"
PLAN = wire.RoundPlan(antennas=(1, 3), session=1, tag_population=64, mode=2, tari_ns=12_500, hop_table=1, channel=1)
ORDER = wire.RoundOrder(rospec_id=9, duration_s=0.5, power_index=21)


def reader() -> wire.Abilities:
    body = frames.status(frames.Status.SUCCESS) + capabilities(Make(), 0)
    return wire.abilities(wire.decode(frames.message(MessageType.GET_READER_CAPABILITIES_RESPONSE, 1, body)))


def report(*seen: frames.Seen, content: frames.Content = ALL_CONTENT, message_id: int = 1) -> list[wire.Sighting]:
    entries = [frames.tag_report(one, content, 9) for one in seen]
    return wire.sightings(wire.decode(frames.report(message_id, entries)))


def test_the_power_table_comes_by_index() -> None:
    known = reader()
    assert known.antennas == 4
    assert dict(known.powers_dbm) == {index: 10 + (index - 1) / 2 for index in range(1, 42)}
    assert set(known.modes) == {0, 2, 3}


def test_capabilities_without_a_power_table_are_refused() -> None:
    body = frames.status(frames.Status.SUCCESS) + capabilities(Make(), 1)
    message = wire.decode(frames.message(MessageType.GET_READER_CAPABILITIES_RESPONSE, 1, body))
    with pytest.raises(FrameError, match="RegulatoryCapabilities"):
        wire.abilities(message)


def test_sllurp_reads_every_parameter_of_our_configuration() -> None:
    body = frames.status(frames.Status.SUCCESS) + configuration(Make(), Memory(Make()))
    fields = wire.decode(frames.message(MessageType.GET_READER_CONFIG_RESPONSE, 1, body)).fields
    assert "SllurpDecodeError" not in fields
    assert len(fields["AntennaConfiguration"]) == 4
    assert fields["Identification"]["ReaderID"] == b"02c0defffe000001"


def test_our_hand_reads_the_rospec_that_sllurp_writes() -> None:
    frame = wire.encode("ADD_ROSPEC", 1, {"ROSpecID": 9, "ROSpec": wire.rospec(PLAN, ORDER, reader())})
    assert read_header(frame).kind == MessageType.ADD_ROSPEC
    assert read_rospec(frame[10:]) == frames.RoSpec(
        rospec_id=9,
        start=frames.Start.NONE,
        duration_ms=500,
        inventory_ms=500,
        antennas=(1, 3),
        power_index={1: 21, 3: 21},
        mode_index={1: 2, 3: 2},
        content=frames.Content.ROSPEC_ID
        | frames.Content.ANTENNA
        | frames.Content.RSSI
        | frames.Content.FIRST_SEEN
        | frames.Content.LAST_SEEN
        | frames.Content.SEEN_COUNT,
    )


def test_our_hand_reads_the_settings_that_sllurp_writes() -> None:
    frame = wire.encode("SET_READER_CONFIG", 1, wire.settings(2.5))
    on: dict[int, bool] = {frames.Event.ROSPEC: True, frames.Event.EXCEPTION: True, frames.Event.ANTENNA: True}
    assert read_settings(frame[10:]) == frames.Settings(keepalive_ms=2500, events=on)


def test_a_trigger_that_the_simulator_does_not_have_is_refused() -> None:
    spec = {**wire.rospec(PLAN, ORDER, reader())}
    spec["ROBoundarySpec"]["ROSpecStopTrigger"]["ROSpecStopTriggerType"] = "GPI with timeout"
    frame = wire.encode("ADD_ROSPEC", 1, {"ROSpecID": 9, "ROSpec": spec})
    with pytest.raises(RefusedError, match="duration triggers"):
        read_rospec(frame[10:])


@pytest.mark.parametrize("epc", ["3034", "E280116060000204", EPC, EPC + "00000001", "AB" * 62])
def test_an_epc_of_any_length_comes_as_upper_case_hex(epc: str) -> None:
    (one,) = report(frames.Seen(epc=epc, antenna=2, rssi_dbm=-128, count=7))
    assert (one.epc, one.antenna, one.rssi_dbm, one.hits, one.rospec_id) == (epc, 2, -128, 7, 9)


def test_a_blank_tag_is_left_out() -> None:
    assert report(frames.Seen(epc="")) == []


def test_an_entry_without_what_was_asked_is_no_reading() -> None:
    with pytest.raises(FrameError, match="PeakRSSI"):
        report(frames.Seen(epc=EPC), content=frames.Content.ANTENNA)


def test_one_reading_a_tag_with_its_best_antenna_and_all_hits() -> None:
    seen = report(
        frames.Seen(epc=EPC, antenna=1, rssi_dbm=-60, count=3),
        frames.Seen(epc="0001", antenna=4, rssi_dbm=-70, count=1),
        frames.Seen(epc=EPC, antenna=2, rssi_dbm=-45, count=4),
        frames.Seen(epc=EPC, antenna=3, rssi_dbm=-50, count=1),
    )
    assert wire.tags(seen) == (
        TagRead(epc="0001", antenna=4, rssi_dbm=-70, hits=1),
        TagRead(epc=EPC, antenna=2, rssi_dbm=-45, hits=8),
    )


def test_a_repeated_report_has_the_same_keys_and_a_later_look_has_others() -> None:
    first = frames.Seen(epc=EPC, antenna=1, first_seen_us=1_000, last_seen_us=2_000)
    later = frames.Seen(epc=EPC, antenna=1, first_seen_us=3_000, last_seen_us=4_000)
    assert {one.key for one in report(first) + report(first, message_id=2)} == {report(first)[0].key}
    assert report(first)[0].key != report(later)[0].key


def test_without_timestamps_only_the_same_message_is_a_repetition() -> None:
    bare = frames.Content.ANTENNA | frames.Content.RSSI
    seen = frames.Seen(epc=EPC, antenna=1)
    assert report(seen, content=bare)[0].key == report(seen, content=bare)[0].key
    assert report(seen, content=bare)[0].key != report(seen, content=bare, message_id=2)[0].key


FLAWS = {
    "antenna": (frames.antenna_event(2, is_connected=False), "antenna 2 came off"),
    "antenna back": (frames.antenna_event(2, is_connected=True), ""),
    "fault": (frames.exception_event("over temperature"), "the reader reported a fault: over temperature"),
    "overflow": (frames.tlv(251), "the reader's report buffer ran over"),
    "preempted": (frames.tlv(249, frames.fields("BII", 2, 9, 10)), "the reader gave another program precedence"),
    "another's end": (frames.rospec_event(frames.RoSpecChange.ENDED, 8), ""),
    "door": (frames.gpi_event(1, is_high=True), ""),
}


@pytest.mark.parametrize("kind", FLAWS)
def test_which_events_spoil_a_round(kind: str) -> None:
    said, flaw = FLAWS[kind]
    event = wire.event(wire.decode(frames.event(1, 0, said)))
    assert wire.flaw(9, event) == flaw
    assert not wire.is_end_of(9, event)


def test_the_end_of_its_own_rospec_ends_a_round() -> None:
    event = wire.event(wire.decode(frames.event(1, 0, frames.rospec_event(frames.RoSpecChange.ENDED, 9))))
    assert wire.is_end_of(9, event)


def test_a_refusal_says_status_and_reason() -> None:
    body = frames.status(frames.Status.FIELD_ERROR, "no such antenna")
    refused = wire.decode(frames.message(MessageType.ADD_ROSPEC_RESPONSE, 5, body))
    assert wire.refusal(refused) == "FieldError: no such antenna"
    done = wire.decode(frames.message(MessageType.ADD_ROSPEC_RESPONSE, 5, frames.status(frames.Status.SUCCESS)))
    assert wire.refusal(done) == ""


def test_a_status_that_llrp_does_not_have_is_still_a_refusal() -> None:
    unknown = frames.message(MessageType.ADD_ROSPEC_RESPONSE, 5, frames.status(999, "vendor's own"))
    assert wire.refusal(wire.decode(unknown)).endswith("vendor's own")


def test_spoilt_bytes_are_a_frame_error_and_nothing_else() -> None:
    random = Random(20)
    entries = [frames.tag_report(frames.Seen(epc=EPC, antenna=one), ALL_CONTENT, 9) for one in range(4)]
    sound = [
        frames.report(1, entries),
        frames.event(2, 0, frames.rospec_event(frames.RoSpecChange.ENDED, 9)),
        frames.event(3, 0, frames.exception_event("hot")),
        frames.message(11, 4, frames.status(frames.Status.SUCCESS) + capabilities(Make(), 0)),
        frames.message(12, 5, frames.status(frames.Status.SUCCESS) + configuration(Make(), Memory(Make()))),
    ]
    survived = 0
    for _ in range(3000):
        spoilt = bytearray(random.choice(sound))
        for _ in range(random.randint(1, 4)):
            spoilt[random.randrange(10, len(spoilt))] = random.randrange(256)
        try:
            message = wire.decode(bytes(spoilt))
            if message.name == "RO_ACCESS_REPORT":
                wire.sightings(message)
            elif message.name == "READER_EVENT_NOTIFICATION":
                wire.flaw(9, wire.event(message))
            else:
                wire.refusal(message)
        except FrameError:
            continue
        survived += 1
    assert 0 < survived < 3000
