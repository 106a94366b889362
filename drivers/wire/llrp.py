"""LLRP frames: where one message ends and the next begins, and the numbers that both ends share.

::

     0   3   6         16                 48                 80
    +---+---+----------+------------------+------------------+------ …
    |000|ver|   type   | length with these|    message id    | body
    +---+---+----------+------------------+------------------+------ …

A body is fixed fields, then parameters, each of them either of the two::

    TLV   0 0 0 0 0 0 | type (10 bits) | u16 length with these 4 bytes | fields, then parameters
    TV    1 | type (7 bits)            | value of the length that the type has

Source: EPCglobal Low Level Reader Protocol 1.0.1, sections 8 and 15; ``ver`` is 1, or 2 for LLRP 1.1.
The line is TCP, so bytes are neither lost nor changed: what does not look like a header means that the other side is
no LLRP device or has lost its place. There is no mark to find the place again, hence one bad header ends the line.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

HEADER = struct.Struct("!HII")
TLV_HEADER = struct.Struct("!HH")
TV_VALUE_BYTES = {
    1: 2,  # AntennaID
    2: 8,  # FirstSeenTimestampUTC
    3: 8,  # FirstSeenTimestampUptime
    4: 8,  # LastSeenTimestampUTC
    5: 8,  # LastSeenTimestampUptime
    6: 1,  # PeakRSSI
    7: 2,  # ChannelIndex
    8: 2,  # TagSeenCount
    9: 4,  # ROSpecID
    10: 2,  # InventoryParameterSpecID
    11: 2,  # C1G2CRC
    12: 2,  # C1G2PC
    13: 12,  # EPC-96
    14: 2,  # SpecIndex
    15: 2,  # ClientRequestOpSpecResult
    16: 4,  # AccessSpecID
    17: 2,  # OpSpecID
    18: 4,  # C1G2SingulationDetails
    19: 2,  # C1G2XPCW1
    20: 2,  # C1G2XPCW2
}
TAG_REPORT_DATA = 240
EPC_DATA = 241
VERSION_1_0_1 = 1
NEWEST_VERSION = 2
# The fullest report of a cabinet (2,000 tags at 64 bytes) is an eighth of this.
LONGEST_FRAME = 1 << 20


class MessageType(IntEnum):
    GET_READER_CAPABILITIES = 1
    GET_READER_CONFIG = 2
    SET_READER_CONFIG = 3
    CLOSE_CONNECTION_RESPONSE = 4
    GET_READER_CAPABILITIES_RESPONSE = 11
    GET_READER_CONFIG_RESPONSE = 12
    SET_READER_CONFIG_RESPONSE = 13
    CLOSE_CONNECTION = 14
    ADD_ROSPEC = 20
    DELETE_ROSPEC = 21
    START_ROSPEC = 22
    STOP_ROSPEC = 23
    ENABLE_ROSPEC = 24
    DISABLE_ROSPEC = 25
    ADD_ROSPEC_RESPONSE = 30
    DELETE_ROSPEC_RESPONSE = 31
    START_ROSPEC_RESPONSE = 32
    STOP_ROSPEC_RESPONSE = 33
    ENABLE_ROSPEC_RESPONSE = 34
    DISABLE_ROSPEC_RESPONSE = 35
    DELETE_ACCESSSPEC = 41
    DELETE_ACCESSSPEC_RESPONSE = 51
    RO_ACCESS_REPORT = 61
    KEEPALIVE = 62
    READER_EVENT_NOTIFICATION = 63
    ENABLE_EVENTS_AND_REPORTS = 64
    KEEPALIVE_ACK = 72
    ERROR_MESSAGE = 100


class FrameError(ValueError):
    """The bytes are no LLRP."""


class Header(NamedTuple):
    version: int
    kind: int
    length: int
    message_id: int


def read_header(data: bytes | bytearray) -> Header:
    """The header at the start of ``data``, at least 10 bytes. Raises FrameError."""
    word, length, message_id = HEADER.unpack_from(data)
    version = word >> 10
    if not VERSION_1_0_1 <= version <= NEWEST_VERSION:
        raise FrameError(f"the header starts with {word:#06x}, expected LLRP version 1 or 2: this is no LLRP")
    if not HEADER.size <= length <= LONGEST_FRAME:
        raise FrameError(f"the message says it is {length} bytes long, expected {HEADER.size} to {LONGEST_FRAME}")
    return Header(version, word & 0x3FF, length, message_id)


class Parameter(NamedTuple):
    kind: int
    value: bytes


def parameters(data: bytes) -> Iterator[Parameter]:
    """The parameters that ``data`` is made of, without gap or rest. Raises FrameError."""
    at = 0
    while at < len(data):
        kind = data[at] & 0x7F
        if not data[at] & 0x80:
            if len(data) - at < TLV_HEADER.size:
                raise FrameError(f"{len(data) - at} bytes are left, expected a parameter")
            word, length = TLV_HEADER.unpack_from(data, at)
            kind, head = word & 0x3FF, TLV_HEADER.size
        elif kind in TV_VALUE_BYTES:
            head, length = 1, 1 + TV_VALUE_BYTES[kind]
        else:
            raise FrameError(f"unknown TV parameter {kind}")
        if not head <= length <= len(data) - at:
            raise FrameError(f"parameter {kind} says it is {length} bytes long, expected {head} to {len(data) - at}")
        yield Parameter(kind, data[at + head : at + length])
        at += length


class Framer:
    """Bytes as they come in, whole messages (header included) out."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that ``data`` completes. Raises FrameError; the line cannot be used after that."""
        self._unread += data
        frames = []
        start = 0
        while len(self._unread) - start >= HEADER.size:
            length = read_header(self._unread[start : start + HEADER.size]).length
            if len(self._unread) - start < length:
                break
            frames.append(bytes(self._unread[start : start + length]))
            start += length
        del self._unread[:start]
        return frames
