"""When a fact happened: by its device, corrected by what is known of its clock, and never after it was received."""

import msgspec


class _At(msgspec.Struct, frozen=True, array_like=True, gc=False):
    wall_us: int
    mono_us: int
    offset_us: int | None = None


class _Spoken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first fields of a fact."""

    what: str
    codes: msgspec.Raw
    at: _At


_decode = msgspec.msgpack.Decoder(_Spoken).decode


def happened_us(body: bytes, received_us: int) -> int:
    """As an SQL function it is there on every connection of ``read.open_reader``."""
    try:
        at = _decode(body).at
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return received_us  # bytes that are no fact
    return max(0, min(at.wall_us + (at.offset_us or 0), received_us))
