r"""Unit-dose packagers over TCP: the record layout of codepool, version 1.

No maker publishes a protocol, so this one is ours, for the small program at a machine that translates. It is made of
what the makers' own links are made of: STX/ETX records, ACK and NAK.

::

    +-----+------+-----+-------+-----+-------+     +-----+-----------------+-----+
    | STX | kind | RS  | field | RS  | field | ... | RS  | CRC-32, 8 hex   | ETX |
    | 02  |      | 1E  |       | 1E  |       |     | 1E  | of kind..last RS| 03  |
    +-----+------+-----+-------+-----+-------+     +-----+-----------------+-----+

====== ========= ==================================================================================================
kind   from      fields
====== ========= ==================================================================================================
``J1`` host      job, order, patient, take_at (HHMM), then one field a dose: product US quantity US code US code ...
``R1`` machine   job, outcome, pouch number (empty if none was made), message
06     both      ACK: CRC of the record that was taken over
15     both      NAK: CRC of the record that is refused, reason; without fields: a record came damaged, send it again
====== ========= ==================================================================================================

``outcome`` is one of done, wasted, jammed, unknown_product, empty_canister. Text is UTF-8. A control byte (00 to 1F)
in a text becomes DLE (10) and the byte plus 40; so STX and ETX stand at the ends of records only. US is 1F. The CRC
is that of zlib, over the bytes as they are sent, upper-case hex. A record has at most 65,536 bytes between STX and ETX.

Rules: each side sends one record at a time and repeats it, byte for byte, until ACK or a NAK with CRC comes. The
receiver answers each copy, and acts on one job key once: a repeated job makes no second pouch. A whole record of
unknown layout is refused. ACK and NAK are not answered. A result is acknowledged once it was acted on, so that a host
which dies in between hears it again.

The ACK of a record with the CRC 0A1B2C3D: ``02 06 1E 30 41 31 42 32 43 33 44 1E 32 37 41 30 33 44 34 41 03``.

Survives: records cut into any chunks; garbage between records; lost STX or ETX (the next STX starts anew); damaged
records (reported, to be asked for again); repeated records (same CRC); an endless record (discarded, memory bounded).
"""

import re
import zlib

import msgspec

STX, ETX, ACK, NAK, DLE, RS, US = b"\x02", b"\x03", b"\x06", b"\x15", b"\x10", b"\x1e", b"\x1f"
LONGEST_RECORD = 65_536
_CRC_LENGTH = 8
_CONTROL = re.compile(rb"[\x00-\x1f]")
_ESCAPED = re.compile(rb"\x10([\x40-\x5f])")


class Dose(msgspec.Struct, frozen=True, kw_only=True):
    product: str
    quantity: int
    codes: tuple[str, ...]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    order: str
    patient: str
    take_at: str
    doses: tuple[Dose, ...]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    outcome: str
    pouch: str
    message: str


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """ACK of the record with this CRC."""

    crc: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """NAK of the record with this CRC."""

    crc: str
    reason: str


class SendAgain(msgspec.Struct, frozen=True, kw_only=True):
    """NAK without fields: something came that could not be read."""


Message = Job | Result | Taken | Refused | SendAgain


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A whole record: its message and the CRC that names it in an answer."""

    message: Message
    crc: str


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A record that came damaged, to be sent again; or, with its CRC, a whole one of unknown layout, to be refused."""

    reason: str
    crc: str = ""

    @property
    def answer(self) -> Refused | SendAgain:
        return Refused(crc=self.crc, reason=self.reason) if self.crc else SendAgain()


def encode(message: Message) -> bytes:
    """The record of a message, STX and ETX included. Raises ValueError if it is too long."""
    body = RS.join(_fields(message)) + RS
    record = body + _crc(body)
    if len(record) > LONGEST_RECORD:
        raise ValueError(f"the record has {len(record)} bytes, at most {LONGEST_RECORD} are allowed")
    return STX + record + ETX


def crc_of(record: bytes) -> str:
    """The CRC that names a record in ACK and NAK."""
    return record[-_CRC_LENGTH - 1 : -1].decode("ascii")


class Splitter:
    """Bytes in, records out; how the bytes are cut into chunks makes no difference."""

    def __init__(self) -> None:
        self._record: bytearray | None = None

    def feed(self, data: bytes) -> list[Received | Unreadable]:
        """Records that these bytes complete."""
        records: list[Received | Unreadable] = []
        first, *rest = data.split(STX)
        records += self._feed_inside(first)
        for part in rest:
            if self._record is not None:
                records.append(Unreadable(reason="the record has no end"))
            self._record = bytearray()
            records += self._feed_inside(part)
        return records

    def _feed_inside(self, data: bytes) -> list[Received | Unreadable]:
        if self._record is None:
            return []
        inside, etx, _ = data.partition(ETX)
        self._record += inside[: LONGEST_RECORD + 1 - len(self._record)]
        if len(self._record) > LONGEST_RECORD:
            self._record = None
            return [Unreadable(reason=f"the record is longer than {LONGEST_RECORD} bytes")]
        if not etx:
            return []
        record, self._record = bytes(self._record), None
        return [_decode(record)]


def _fields(message: Message) -> list[bytes]:
    match message:
        case Job():
            texts = (message.job, message.order, message.patient, message.take_at)
            return [b"J1", *map(_escape, texts), *map(_dose_field, message.doses)]
        case Result():
            return [b"R1", *map(_escape, (message.job, message.outcome, message.pouch, message.message))]
        case Taken():
            return [ACK, _escape(message.crc)]
        case Refused():
            return [NAK, _escape(message.crc), _escape(message.reason)]
        case SendAgain():
            return [NAK]


def _dose_field(dose: Dose) -> bytes:
    return US.join(map(_escape, (dose.product, str(dose.quantity), *dose.codes)))


def _decode(record: bytes) -> Received | Unreadable:
    body, crc = record[:-_CRC_LENGTH], record[-_CRC_LENGTH:]
    if not body.endswith(RS) or crc != _crc(body):
        return Unreadable(reason="the CRC does not fit")
    try:
        return Received(message=_message(body[:-1].split(RS)), crc=crc.decode("ascii"))
    except ValueError as error:  # UnicodeDecodeError is one
        return Unreadable(reason=str(error), crc=crc.decode("ascii"))


def _message(fields: list[bytes]) -> Message:
    match fields:
        case [b"J1", job, order, patient, take_at, *doses]:
            return Job(
                job=_unescape(job),
                order=_unescape(order),
                patient=_unescape(patient),
                take_at=_unescape(take_at),
                doses=tuple(map(_dose, doses)),
            )
        case [b"R1", job, outcome, pouch, message]:
            return Result(
                job=_unescape(job), outcome=_unescape(outcome), pouch=_unescape(pouch), message=_unescape(message)
            )
        case [b"\x06", crc]:
            return Taken(crc=_unescape(crc))
        case [b"\x15", crc, reason]:
            return Refused(crc=_unescape(crc), reason=_unescape(reason))
        case [b"\x15"]:
            return SendAgain()
        case _:
            raise ValueError(f"kind {fields[0]!r} with {len(fields) - 1} fields is none of this layout's records")


def _dose(field: bytes) -> Dose:
    match [_unescape(part) for part in field.split(US)]:
        case [product, quantity, *codes] if quantity.isascii() and quantity.isdigit():
            return Dose(product=product, quantity=int(quantity), codes=tuple(codes))
        case parts:
            raise ValueError(f"dose {parts!r}: expected product, quantity, codes")


def _escape(text: str) -> bytes:
    return _CONTROL.sub(lambda found: DLE + bytes([found.group()[0] + 0x40]), text.encode())


def _unescape(field: bytes) -> str:
    return _ESCAPED.sub(lambda found: bytes([found.group(1)[0] - 0x40]), field).decode()


def _crc(body: bytes) -> bytes:
    return b"%08X" % zlib.crc32(body)
