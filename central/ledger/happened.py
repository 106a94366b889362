"""What SQL asks of the bytes of a fact; each is there on every connection of ``read.open_reader``."""

import msgspec

from sync_protocol.facts import UNDONE, Moment, What


class _Spoken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first fields of a fact."""

    what: str
    codes: msgspec.Raw
    at: Moment


class _Named(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The fields of a fact up to its product."""

    what: str
    codes: msgspec.Raw
    at: msgspec.Raw
    operator: str = ""
    witness: str = ""
    location: str = ""
    document: str = ""
    order: str = ""
    how: str = ""
    source: str = ""
    product: str = ""


class _Reasoned(_Named, frozen=True, array_like=True, gc=False):
    """The fields of a fact up to its reason."""

    lot: str = ""
    expiry: msgspec.Raw = msgspec.Raw()
    made: msgspec.Raw = msgspec.Raw()
    units: int = 0
    pouch: str = ""
    tag: str = ""
    reason: str = ""


_decode = msgspec.msgpack.Decoder(_Spoken).decode
_decode_names = msgspec.msgpack.Decoder(_Named).decode
_decode_reason = msgspec.msgpack.Decoder(_Reasoned).decode


def happened_us(body: bytes, received_us: int) -> int:
    """By its device, corrected by what is known of its clock, and never after it was received."""
    try:
        at = _decode(body).at
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return received_us  # bytes that are no fact
    return max(0, min(at.corrected_us, received_us))


def product_told(body: bytes) -> str:
    """The product that a fact says it is about; empty: it names none."""
    try:
        return _decode_names(body).product
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""  # bytes that are no fact


def undoes_hand_out(body: bytes) -> bool:
    """Whether a fact says that what was handed out for its order was not given after all."""
    try:
        told = _decode_reason(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False  # bytes that are no fact
    return told.what == What.RETURNED and told.reason == UNDONE and bool(told.order)
