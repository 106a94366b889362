"""MQTT 3.1.1 packets on a line, read as far as a proxy needs that holds, repeats, reorders and loses messages.

::

    packet   type (4 bits) flags (4) | length of the rest, 1 to 4 bytes of 7 bits, lowest first | the rest
    PUBLISH  flags: DUP, QoS (2 bits), RETAIN | topic | packet id (2 bytes, only above QoS 0) | payload
    CONNECT  "MQTT" level flags keepalive (2) | client id | will topic, will message | user | password
    text     length (2 bytes), UTF-8

Source: OASIS MQTT 3.1.1, sections 2.2, 3.1, 3.3, 3.4. What is not a PUBLISH, PUBACK or CONNECT passes as it came.
"""

from enum import IntEnum

import msgspec

MAX_LENGTH_BYTES = 4
_RETAIN, _WILL = 0x01, 0x04
_FLAGS_AT = 7
"""Of CONNECT: behind the six bytes of "MQTT" with its length, and the level."""
_ID_AT = 10


class Kind(IntEnum):
    CONNECT = 1
    PUBLISH = 3
    PUBACK = 4


class MqttError(Exception):
    """Bytes that are no MQTT 3.1.1."""


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    kind: int
    flags: int
    body: bytes

    @property
    def raw(self) -> bytes:
        length, digits = len(self.body), bytearray()
        while length > 0x7F:  # noqa: PLR2004 - seven bits a byte
            digits.append(length & 0x7F | 0x80)
            length >>= 7
        digits.append(length)
        return bytes([self.kind << 4 | self.flags]) + bytes(digits) + self.body


class Publish(msgspec.Struct, frozen=True, kw_only=True):
    """What a PUBLISH says. ``packet_id``: 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    is_retained: bool = False

    def at_most_once(self) -> Packet:
        """The same message as a packet that nobody acknowledges: an echo needs no packet id of the connection."""
        return Packet(kind=Kind.PUBLISH, flags=_RETAIN * self.is_retained, body=_text(self.topic) + self.payload)


class Splitter:
    """Bytes as they arrive in, whole packets out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """Raises MqttError."""
        self._buffer += data
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    def _next(self) -> Packet | None:
        digits = self._buffer[1 : 1 + MAX_LENGTH_BYTES]
        count = next((place for place, digit in enumerate(digits, start=1) if digit < 0x80), 0)  # noqa: PLR2004
        if not count:
            if len(digits) == MAX_LENGTH_BYTES:
                raise MqttError(f"length: found {bytes(digits).hex()}, expected its last byte among them")
            return None
        length = sum((digit & 0x7F) << 7 * place for place, digit in enumerate(digits[:count]))
        start, end = 1 + count, 1 + count + length
        if len(self._buffer) < end:
            return None
        first, body = self._buffer[0], bytes(self._buffer[start:end])
        del self._buffer[:end]
        return Packet(kind=first >> 4, flags=first & 0x0F, body=body)


def read_publish(packet: Packet) -> Publish:
    """Raises MqttError."""
    topic, rest = _take_text(packet.body)
    qos = packet.flags >> 1 & 3
    packet_id = int.from_bytes(rest[:2]) if qos else 0
    payload = rest[2:] if qos else rest
    is_retained = bool(packet.flags & _RETAIN)
    return Publish(topic=topic, payload=payload, qos=qos, packet_id=packet_id, is_retained=is_retained)


def puback(packet_id: int) -> Packet:
    return Packet(kind=Kind.PUBACK, flags=0, body=packet_id.to_bytes(2))


def with_will(connect: Packet, topic: str, message: bytes) -> Packet:
    """The CONNECT with a last will; unchanged if the client has one of its own. Raises MqttError."""
    body = connect.body
    if len(body) <= _ID_AT or body[2:6] != b"MQTT":
        raise MqttError(f"CONNECT: found {body[:_ID_AT].hex()}, expected MQTT 3.1.1")
    if body[_FLAGS_AT] & _WILL:
        return connect
    _, behind_id = _take_text(body[_ID_AT:])
    flags = bytes([body[_FLAGS_AT] | _WILL])
    client_id = body[_ID_AT : len(body) - len(behind_id)]
    will = _text(topic) + len(message).to_bytes(2) + message
    changed = body[:_FLAGS_AT] + flags + body[_FLAGS_AT + 1 : _ID_AT] + client_id + will + behind_id
    return msgspec.structs.replace(connect, body=changed)


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2) + data


def _take_text(data: bytes) -> tuple[str, bytes]:
    end = 2 + int.from_bytes(data[:2])
    if len(data) < max(end, 2):
        raise MqttError(f"text: found {len(data)} bytes, expected {end}")
    try:
        return data[2:end].decode(), data[end:]
    except UnicodeDecodeError as error:
        raise MqttError(f"text: {error}") from error
