"""What a reader has heard: the entries of an RO_ACCESS_REPORT, read by hand.

::

    report  entry, entry, …                         (parameters of other kinds are passed over)
    entry   240 | length | EPC-96 or EPCData | what the ROSpec asked for, each as a TV parameter

Source: EPCglobal Low Level Reader Protocol 1.0.1, section 16.2.7.3. By hand, because this is the one message that comes
a thousand times a second, and because a general decoder takes what is there for what was announced: an EPC that was cut
short would be another tag. Here every length is held against what it is about.

A reader makes all entries of a report alike. So the parameters of an entry are gone through once, which gives a layout,
and an entry that has the same type and length wherever the layout has one is read by it at one go.
"""

import struct
from binascii import hexlify
from collections.abc import Callable
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple

from drivers.wire.llrp import EPC_DATA, TAG_REPORT_DATA, TLV_HEADER, TV_VALUE_BYTES, FrameError

EPC_96 = 13
_TV = 0x80
_KIND = 0x3FF
_EPC_BITS = 2
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
_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def _shape(kind: int) -> tuple[str, int, str]:
    """Name, length with the type byte, and how the value is read; EPCs stay bytes, RSSI has a sign."""
    size = TV_VALUE_BYTES[kind]
    name = _NAMES.get(kind, "")
    value = "b" if name == "PeakRSSI" else _FORMATS.get(size, f"{size}s")
    return name, 1 + size, value if name else f"{size}x"


# By the first byte of the parameter, type and mark in one.
_SHAPES = {_TV | kind: _shape(kind) for kind in TV_VALUE_BYTES}


class _Layout(NamedTuple):
    """What an entry is made of, its own header included."""

    values: struct.Struct
    marks_of: Callable[[tuple[Any, ...]], tuple[int, ...]]
    """Of all values those that say what comes next: types and lengths."""
    marks: tuple[int, ...]
    is_field: tuple[bool, ...]
    names: tuple[str, ...]

    def read(self, body: bytes, at: int) -> dict[str, Any] | None:
        """The entry there; None if it is made otherwise."""
        if len(body) - at < self.values.size:
            return None
        values = self.values.unpack_from(body, at)
        if self.marks_of(values) != self.marks:
            return None
        entry = dict(zip(self.names, compress(values, self.is_field), strict=True))
        if "EPC" in entry:
            entry["EPC"] = hexlify(entry["EPC"])
        return entry


# No entry is made like this.
_UNKNOWN = _Layout(values=struct.Struct("!HH"), marks_of=itemgetter(0, 1), marks=(), is_field=(), names=())


def read_entries(body: bytes) -> list[dict[str, Any]]:
    """The entries by the names of the specification, EPCs as lower-case hex. Raises FrameError."""
    entries = []
    layout = _UNKNOWN
    at = 0
    while at < len(body):
        entry = layout.read(body, at)
        if entry is None:
            if body[at] & _TV:
                at += _short(body, at, len(body))[1]
                continue
            kind, length = _long(body, at, len(body))
            if kind != TAG_REPORT_DATA:
                at += length
                continue
            layout = _layout(body, at, at + length)
            entry = layout.read(body, at)
            assert entry is not None, "a layout fits the entry that it was made of"
        entries.append(entry)
        at += layout.values.size
    return entries


def _layout(body: bytes, at: int, end: int) -> _Layout:
    """That of the entry from ``at`` to ``end``, all of whose lengths hold. Raises FrameError."""
    codes = ["!HH"]
    fields: list[str] = ["", ""]
    marks: list[int] = [*TLV_HEADER.unpack_from(body, at)]
    at += TLV_HEADER.size
    while at < end:
        if body[at] & _TV:
            name, length, value = _short(body, at, end)
            codes.append(f"B{value}")
            fields += ["", name] if name else [""]
            marks.append(body[at])
        else:
            kind, length = _long(body, at, end)
            marks += TLV_HEADER.unpack_from(body, at)
            fields += ["", ""]
            codes.append(f"HH{length - TLV_HEADER.size}x")
            if kind == EPC_DATA:
                marks.append(_epc_bits(body[at + TLV_HEADER.size : at + length]))
                fields += ["", "EPC"]
                codes[-1] = f"HHH{length - TLV_HEADER.size - _EPC_BITS}s"
        at += length
    return _Layout(
        values=struct.Struct("".join(codes)),
        marks_of=itemgetter(*(place for place, name in enumerate(fields) if not name)),
        marks=tuple(marks),
        is_field=tuple(map(bool, fields)),
        names=tuple(filter(None, fields)),
    )


def _short(body: bytes, at: int, end: int) -> tuple[str, int, str]:
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


def _epc_bits(value: bytes) -> int:
    bits = int.from_bytes(value[:_EPC_BITS])
    if len(value) != _EPC_BITS + (bits + 7) // 8:
        raise FrameError(f"an EPC of {len(value) - _EPC_BITS} bytes says it has {bits} bits")
    return bits
