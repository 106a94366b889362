"""LLRP 1.0.1 by hand: the bytes that a reader sends and those that it must understand.

Written from the tables of the specification (sections 9 to 17), not through the library that the driver uses, so that
each checks the other. Where messages and parameters begin and end is shared with the driver (``drivers.wire.llrp``).

Pure: bytes in, records out, and back. Bytes that are no valid message raise ``FrameError`` of ``drivers.wire.llrp``.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from drivers.wire.llrp import HEADER, TLV_HEADER, VERSION_1_0_1, FrameError, MessageType, parameters

EPC_96_BYTES = 12
C1G2 = 1


class Status(IntEnum):
    """LLRPStatus codes that this reader uses (section 14)."""

    SUCCESS = 0
    PARAMETER_ERROR = 100
    FIELD_ERROR = 101
    UNSUPPORTED_MESSAGE = 109
    UNSUPPORTED_VERSION = 110
    UNSUPPORTED_PARAMETER = 111
    INVALID = 300
    OUT_OF_RANGE = 301


class Connection(IntEnum):
    """What ConnectionAttemptEvent says."""

    SUCCESS = 0
    READER_HAS_ONE = 1
    CLIENT_EXISTS = 2
    UNKNOWN = 3
    ANOTHER_ATTEMPT = 4


class Start(IntEnum):
    NONE = 0
    IMMEDIATE = 1


class Event(IntEnum):
    """Kinds of events as ReaderEventNotificationSpec turns them on."""

    HOPPING = 0
    GPI = 1
    ROSPEC = 2
    BUFFER_FILL = 3
    EXCEPTION = 4
    RF_SURVEY = 5
    AISPEC = 6
    AISPEC_SINGULATION = 7
    ANTENNA = 8


class RoSpecChange(IntEnum):
    STARTED = 0
    ENDED = 1


class Content(IntFlag):
    """TagReportContentSelector."""

    ROSPEC_ID = 0x8000
    SPEC_INDEX = 0x4000
    INVENTORY_SPEC_ID = 0x2000
    ANTENNA = 0x1000
    CHANNEL = 0x0800
    RSSI = 0x0400
    FIRST_SEEN = 0x0200
    LAST_SEEN = 0x0100
    SEEN_COUNT = 0x0080
    ACCESS_SPEC_ID = 0x0040


@dataclass(frozen=True, kw_only=True)
class RoSpec:
    """The parts of an ROSpec that this reader acts on. A duration of 0 is none; antenna 0 is all of them."""

    rospec_id: int
    start: Start = Start.NONE
    duration_ms: int = 0
    antennas: tuple[int, ...] = (0,)
    inventory_ms: int = 0
    power_index: Mapping[int, int] = field(default_factory=dict)
    mode_index: Mapping[int, int] = field(default_factory=dict)
    report_trigger: int = 1
    report_every: int = 0
    content: Content


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What SET_READER_CONFIG changes; None leaves it."""

    keepalive_ms: int | None = None
    events: Mapping[int, bool] = field(default_factory=dict)
    does_reset: bool = False


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One entry of a report; ``epc`` is hex."""

    epc: str
    antenna: int = 0
    rssi_dbm: int = 0
    first_seen_us: int = 0
    last_seen_us: int = 0
    count: int = 1


def message(kind: int, message_id: int, body: bytes = b"") -> bytes:
    return HEADER.pack(VERSION_1_0_1 << 10 | kind, HEADER.size + len(body), message_id) + body


def tlv(kind: int, *values: bytes) -> bytes:
    value = b"".join(values)
    return TLV_HEADER.pack(kind, TLV_HEADER.size + len(value)) + value


def tv(kind: int, value: bytes) -> bytes:
    return bytes([0x80 | kind]) + value


def fields(layout: str, *values: int) -> bytes:
    return struct.pack("!" + layout, *values)


def take(layout: str, data: bytes) -> tuple[tuple[int, ...], bytes]:
    """The fields at the start of ``data``, and the rest. Raises FrameError."""
    size = struct.calcsize("!" + layout)
    if len(data) < size:
        raise FrameError(f"a parameter ends after {len(data)} of at least {size} bytes")
    return struct.unpack("!" + layout, data[:size]), data[size:]


def only(data: bytes, kind: int) -> bytes:
    """The value of the one parameter of that kind. Raises FrameError unless there is exactly one."""
    found = [one.value for one in parameters(data) if one.kind == kind]
    if len(found) != 1:
        raise FrameError(f"found parameter {kind} {len(found)} times, expected once")
    return found[0]


def keepalive(message_id: int) -> bytes:
    return message(MessageType.KEEPALIVE, message_id)


def keepalive_ack(message_id: int) -> bytes:
    return message(MessageType.KEEPALIVE_ACK, message_id)


def enable_events_and_reports(message_id: int) -> bytes:
    return message(MessageType.ENABLE_EVENTS_AND_REPORTS, message_id)


def about_rospec(kind: MessageType, message_id: int, rospec_id: int) -> bytes:
    """DELETE_, START_, STOP_, ENABLE_ or DISABLE_ROSPEC; also DELETE_ACCESSSPEC, which has the same form."""
    return message(kind, message_id, fields("I", rospec_id))


def add_rospec(message_id: int, spec: RoSpec) -> bytes:
    boundary = tlv(
        178,
        tlv(179, fields("B", spec.start)),
        tlv(182, fields("BI", bool(spec.duration_ms), spec.duration_ms)),
    )
    configurations = [
        tlv(222, fields("H", antenna), tlv(224, fields("HHH", 1, 1, index)))
        for antenna, index in spec.power_index.items()
    ]
    inventory = tlv(
        183,
        fields(f"H{len(spec.antennas)}H", len(spec.antennas), *spec.antennas),
        tlv(184, fields("BI", bool(spec.inventory_ms), spec.inventory_ms)),
        tlv(186, fields("HB", 1, C1G2), *configurations),
    )
    report = tlv(237, fields("BH", spec.report_trigger, spec.report_every), tlv(238, fields("H", spec.content)))
    rospec = tlv(177, fields("IBB", spec.rospec_id, 0, 0), boundary, inventory, report)
    return message(MessageType.ADD_ROSPEC, message_id, rospec)


def set_reader_config(message_id: int, settings: Settings) -> bytes:
    body = fields("B", settings.does_reset << 7)
    if settings.events:
        states = [tlv(245, fields("HB", kind, is_on << 7)) for kind, is_on in settings.events.items()]
        body += tlv(244, *states)
    if settings.keepalive_ms is not None:
        body += tlv(220, fields("BI", bool(settings.keepalive_ms), settings.keepalive_ms))
    return message(MessageType.SET_READER_CONFIG, message_id, body)


def write_epc(epc: str, *, opspec_id: int = 1, password: int = 0) -> bytes:
    """The C1G2Write parameter that gives a tag an EPC as long as the old one (bank 1 from word 2)."""
    words = bytes.fromhex(epc)
    return tlv(342, fields("HIBHH", opspec_id, password, 1 << 6, 2, len(words) // 2), words)


def status(code: int, text: str = "") -> bytes:
    said = text.encode()
    return tlv(287, fields("HH", code, len(said)), said)


def event(message_id: int, when_us: int, *said: bytes) -> bytes:
    return message(MessageType.READER_EVENT_NOTIFICATION, message_id, tlv(246, tlv(128, fields("Q", when_us)), *said))


def gpi_event(port: int, *, is_high: bool) -> bytes:
    return tlv(248, fields("HB", port, is_high << 7))


def rospec_event(change: RoSpecChange, rospec_id: int) -> bytes:
    return tlv(249, fields("BII", change, rospec_id, 0))


def exception_event(text: str) -> bytes:
    return tlv(252, fields("H", len(text.encode())), text.encode())


def antenna_event(antenna: int, *, is_connected: bool) -> bytes:
    return tlv(255, fields("BH", is_connected, antenna))


def connection_event(outcome: Connection) -> bytes:
    return tlv(256, fields("H", outcome))


def close_event() -> bytes:
    return tlv(257)


def report(message_id: int, entries: list[bytes]) -> bytes:
    return message(MessageType.RO_ACCESS_REPORT, message_id, b"".join(entries))


_PART = tuple[Content, Callable[[Seen, int], bytes]]
_PARTS: tuple[_PART, ...] = (
    (Content.ROSPEC_ID, lambda _, rospec_id: tv(9, fields("I", rospec_id))),
    (Content.SPEC_INDEX, lambda _, __: tv(14, fields("H", 1))),
    (Content.INVENTORY_SPEC_ID, lambda _, __: tv(10, fields("H", 1))),
    (Content.ANTENNA, lambda seen, _: tv(1, fields("H", seen.antenna))),
    (Content.RSSI, lambda seen, _: tv(6, fields("b", seen.rssi_dbm))),
    (Content.CHANNEL, lambda _, __: tv(7, fields("H", 1))),
    (Content.FIRST_SEEN, lambda seen, _: tv(2, fields("Q", seen.first_seen_us))),
    (Content.LAST_SEEN, lambda seen, _: tv(4, fields("Q", seen.last_seen_us))),
    (Content.SEEN_COUNT, lambda seen, _: tv(8, fields("H", seen.count))),
    (Content.ACCESS_SPEC_ID, lambda _, __: tv(16, fields("I", 0))),
)


def tag_report(seen: Seen, content: Content, rospec_id: int = 0) -> bytes:
    """TagReportData: EPC-96 in its short form, any other length as EPCData."""
    epc = bytes.fromhex(seen.epc)
    name = tv(13, epc) if len(epc) == EPC_96_BYTES else tlv(241, fields("H", len(epc) * 8), epc)
    return tlv(240, name, *(part(seen, rospec_id) for flag, part in _PARTS if flag & content))
