"""What a reader has heard: the entries of an RO_ACCESS_REPORT, read by hand.

::

    report  entry, entry, …                         (parameters of other kinds are passed over)
    entry   240 | length | EPC-96 or EPCData | what the ROSpec asked for, each as a TV parameter

Source: EPCglobal Low Level Reader Protocol 1.0.1, section 16.2.7.3. By hand, because this is the one message that comes
a thousand times a second, and because a general decoder takes what is there for what was announced: an EPC that was cut
short would be another tag. Here every length is held against what it is about.
"""

import struct
from binascii import hexlify
from typing import Any

from drivers.wire.llrp import EPC_DATA, TAG_REPORT_DATA, TLV_HEADER, TV_VALUE_BYTES, FrameError

EPC_96 = 13
_TV = 0x80
_KIND = 0x3FF
_NAMES = {
    EPC_96: "EPC",
    1: "AntennaID",
    2: "FirstSeenTimestampUTC",
    3: "FirstSeenTimestampUptime",
    4: "LastSeenTimestampUTC",
    5: "LastSeenTimestampUptime",
    6: "PeakRSSI",
    7: "ChannelIndex",
    8: "TagSeenCount",
    9: "ROSpecID",
    10: "InventoryParameterSpecID",
    14: "SpecIndex",
    16: "AccessSpecID",
}
_FORMATS = {1: "!B", 2: "!H", 4: "!I", 8: "!Q"}


def _shape(kind: int) -> tuple[str, int, Any]:
    """Name, length with the type byte, and how the value is read; EPCs stay bytes, RSSI has a sign."""
    size = TV_VALUE_BYTES[kind]
    layout = "!b" if _NAMES.get(kind) == "PeakRSSI" else _FORMATS.get(size, f"!{size}s")
    return _NAMES.get(kind, ""), 1 + size, struct.Struct(layout).unpack_from


# By the first byte of the parameter, type and mark in one.
_SHAPES = {_TV | kind: _shape(kind) for kind in TV_VALUE_BYTES}


def read_entries(body: bytes) -> list[dict[str, Any]]:
    """The entries by the names of the specification, EPCs as lower-case hex. Raises FrameError."""
    entries = []
    at = 0
    while at < len(body):
        if body[at] & _TV:
            at += _short(body, at, len(body))[1]
            continue
        kind, length = _long(body, at, len(body))
        if kind == TAG_REPORT_DATA:
            entries.append(_entry(body, at + TLV_HEADER.size, at + length))
        at += length
    return entries


def _entry(body: bytes, at: int, end: int) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    while at < end:
        if body[at] & _TV:
            name, length, unpack = _short(body, at, end)
            if name:
                (entry[name],) = unpack(body, at + 1)
        else:
            kind, length = _long(body, at, end)
            if kind == EPC_DATA:
                entry["EPC"] = _epc(body[at + TLV_HEADER.size : at + length])
        at += length
    if "EPC" in entry:
        entry["EPC"] = hexlify(entry["EPC"])
    return entry


def _short(body: bytes, at: int, end: int) -> tuple[str, int, Any]:
    shape = _SHAPES.get(body[at])
    if shape is None:
        raise FrameError(f"unknown TV parameter {body[at] & ~_TV}")
    if at + shape[1] > end:
        raise FrameError(f"parameter {body[at] & ~_TV} is {shape[1]} bytes long, {end - at} are left")
    return shape


def _long(body: bytes, at: int, end: int) -> tuple[int, int]:
    if end - at < TLV_HEADER.size:
        raise FrameError(f"{end - at} bytes are left, expected a parameter")
    word, length = TLV_HEADER.unpack_from(body, at)
    kind = word & _KIND
    if not TLV_HEADER.size <= length <= end - at:
        raise FrameError(f"parameter {kind} says it is {length} bytes long, expected {TLV_HEADER.size} to {end - at}")
    return kind, length


def _epc(value: bytes) -> bytes:
    bits = int.from_bytes(value[:2])
    if len(value) != 2 + (bits + 7) // 8:
        raise FrameError(f"an EPC of {len(value) - 2} bytes says it has {bits} bits")
    return value[2:]
