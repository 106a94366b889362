"""Bytes that outrank every round trip: vectors of domain/devices.md section 4 (the specification, and captures decoded
by llrpkit, sllurp and the message table of edgexfoundry/device-rfid-llrp-go), against our hand and against sllurp's."""

import pytest
from sllurp.llrp_proto import Param_struct, encode_param

from drivers.wire import llrp_messages as wire
from drivers.wire.llrp import MessageType
from hardware_sims.devices import llrp_frames as frames
from hardware_sims.devices.llrp_requests import read_rospec, read_settings

WHEN_US = 0x0006474846204000
OLD_EPC = "E2801160600002040000002A"
CONTENT = frames.Content(0x1780)


def golden(hex_bytes: str) -> bytes:
    return bytes.fromhex(hex_bytes)


KEEPALIVE = golden("043E 0000000A 00000007")
KEEPALIVE_ACK = golden("0448 0000000A 00000007")
ENABLE_EVENTS = golden("0440 0000000A 00000002")
DELETE_ALL = golden("0415 0000000E 00000003 00000000")
ADD_ROSPEC = golden(
    "0414 0000004B 00000004 00B1 0041 00000001 00 00 00B2 0012 00B3 0005 00 00B6 0009 00 00000000"
    "00B7 0018 0001 0000 00B8 0009 00 00000000 00BA 0007 0001 01 00ED 000D 01 0000 00EE 0006 1780"
)
ENABLE_ROSPEC = golden("0418 0000000E 00000005 00000001")
START_ROSPEC = golden("0416 0000000E 00000006 00000001")
SET_KEEPALIVE = golden("0403 00000014 00000008 00 00DC 0009 01 00002710")
REPORT = golden("043D 00000020 00000000 00F0 0016 8D E2801160600002040000002A 81 0002 86 C9")
CONNECTED = golden("043F 00000020 00000000 00F6 0016 0080 000C 0006474846204000 0100 0006 0000")
DOOR = golden("043F 00000021 00000000 00F6 0017 0080 000C 0006474846204000 00F8 0007 0001 80")
WRITE = golden("0156 001B 0001 00000000 40 0002 0006 E2801160600002040000002A")

BY_HAND = {
    "keepalive": (KEEPALIVE, frames.keepalive(7)),
    "keepalive ack": (KEEPALIVE_ACK, frames.keepalive_ack(7)),
    "enable events": (ENABLE_EVENTS, frames.enable_events_and_reports(2)),
    "delete all": (DELETE_ALL, frames.about_rospec(MessageType.DELETE_ROSPEC, 3, 0)),
    "add rospec": (ADD_ROSPEC, frames.add_rospec(4, frames.RoSpec(rospec_id=1, content=CONTENT))),
    "enable rospec": (ENABLE_ROSPEC, frames.about_rospec(MessageType.ENABLE_ROSPEC, 5, 1)),
    "start rospec": (START_ROSPEC, frames.about_rospec(MessageType.START_ROSPEC, 6, 1)),
    "set keepalive": (SET_KEEPALIVE, frames.set_reader_config(8, frames.Settings(keepalive_ms=10_000))),
    "report": (
        REPORT,
        frames.report(
            0,
            [
                frames.tag_report(
                    frames.Seen(epc=OLD_EPC, antenna=2, rssi_dbm=-55), frames.Content.ANTENNA | frames.Content.RSSI
                )
            ],
        ),
    ),
    "connected": (CONNECTED, frames.event(0, WHEN_US, frames.connection_event(frames.Connection.SUCCESS))),
    "door": (DOOR, frames.event(0, WHEN_US, frames.gpi_event(1, is_high=True))),
    "write": (WRITE, frames.write_epc(OLD_EPC)),
}


@pytest.mark.parametrize("vector", BY_HAND)
def test_our_hand_writes_the_golden_bytes(vector: str) -> None:
    expected, written = BY_HAND[vector]
    assert written.hex(" ") == expected.hex(" ")


BY_SLLURP = {
    "keepalive ack": (KEEPALIVE_ACK, wire.encode("KEEPALIVE_ACK", 7)),
    "enable events": (ENABLE_EVENTS, wire.encode("ENABLE_EVENTS_AND_REPORTS", 2)),
    "delete all": (DELETE_ALL, wire.encode("DELETE_ROSPEC", 3, {"ROSpecID": 0})),
    "enable rospec": (ENABLE_ROSPEC, wire.encode("ENABLE_ROSPEC", 5, {"ROSpecID": 1})),
    "start rospec": (START_ROSPEC, wire.encode("START_ROSPEC", 6, {"ROSpecID": 1})),
    "set keepalive": (
        SET_KEEPALIVE,
        wire.encode("SET_READER_CONFIG", 8, {"KeepaliveSpec": {"KeepaliveTriggerType": 1, "TimeInterval": 10_000}}),
    ),
    "write": (
        WRITE,
        encode_param(
            "C1G2Write",
            {
                "OpSpecID": 1,
                "AccessPassword": 0,
                "MB": 1,
                "WordPtr": 2,
                "WriteDataWordCount": 6,
                "WriteData": bytes.fromhex(OLD_EPC),
            },
        ),
    ),
}


@pytest.mark.parametrize("vector", BY_SLLURP)
def test_sllurp_writes_the_golden_bytes(vector: str) -> None:
    expected, written = BY_SLLURP[vector]
    assert written.hex(" ") == expected.hex(" ")


def test_sllurp_reads_the_golden_keepalive() -> None:
    assert wire.decode(KEEPALIVE)[:2] == ("KEEPALIVE", 7)


def test_the_golden_report_is_read() -> None:
    (tag,) = wire.sightings(wire.decode(REPORT))
    assert (tag.epc, tag.antenna, tag.rssi_dbm, tag.rospec_id) == (OLD_EPC, 2, -55, None)


def test_sllurp_reads_the_golden_events() -> None:
    connected = wire.event(wire.decode(CONNECTED))
    assert connected["UTCTimestamp"]["Microseconds"] == WHEN_US
    assert wire.connection_refusal(connected) == ""
    door = wire.event(wire.decode(DOOR))
    assert door["GPIEvent"] == {"GPIPortNumber": 1, "GPIEvent": True}
    assert wire.connection_refusal(door) is None


def test_sllurp_reads_the_golden_rospec() -> None:
    # sllurp has no decoder for the request, but one for the parameter inside.
    spec, _ = Param_struct["ROSpec"]["decode"](ADD_ROSPEC[14:], "ROSpec")
    assert spec["ROSpecID"] == 1
    assert spec["ROBoundarySpec"]["ROSpecStopTrigger"]["ROSpecStopTriggerType"] == "Null"
    assert spec["AISpec"][0]["AntennaID"] == [0]
    wanted = spec["ROReportSpec"]["TagReportContentSelector"]
    assert {name for name, is_on in wanted.items() if is_on} == {
        "EnableAntennaID",
        "EnablePeakRSSI",
        "EnableFirstSeenTimestamp",
        "EnableLastSeenTimestamp",
        "EnableTagSeenCount",
    }


def test_our_hand_reads_the_golden_requests() -> None:
    assert read_rospec(ADD_ROSPEC[10:]) == frames.RoSpec(rospec_id=1, content=CONTENT)
    assert read_settings(SET_KEEPALIVE[10:]) == frames.Settings(keepalive_ms=10_000)


@pytest.mark.parametrize("outcome", list(frames.Connection)[1:])
def test_every_refusal_of_a_connection_has_a_cause(outcome: frames.Connection) -> None:
    event = wire.event(wire.decode(frames.event(1, WHEN_US, frames.connection_event(outcome))))
    cause = wire.connection_refusal(event)
    assert cause
    assert ("another client holds the reader" in cause) == (outcome is not frames.Connection.UNKNOWN)
