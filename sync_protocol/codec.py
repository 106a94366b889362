"""Facts and messages as bytes.

::

    message  = version (1 byte, 0x01) | packing (1 byte) | content
    packing  = 0x00 plain msgpack, 0x01 zstd frame of msgpack, 0x02 zstd frame of a batch in columns (since schema 2)
    fact     = msgpack array of the fields of ``facts.Fact``, in order

A fact is encoded once, where it happened. Everyone else hashes, sends and stores those bytes.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import zstandard

from sync_protocol.columns import from_columns, to_columns
from sync_protocol.errors import FactError, WireError
from sync_protocol.facts import Fact
from sync_protocol.messages import Batch, Down, Up

VERSION = 1
PLAIN, ZSTD, COLUMNS = 0, 1, 2
MAX_MESSAGE = 1_048_576
"""Bytes of a message as sent; a larger one is refused before it is read."""
MAX_CONTENT = 16 * 1_048_576
"""Bytes of a message when unpacked: a bomb stops here."""
MAX_UP = 256 * 1_024
"""Bytes of what an agent sends in one piece."""
MAX_UP_CONTENT = 2 * 1_048_576
ANY_RATIO = 512 * 1_024
MAX_RATIO = 100
"""Unpacked to packed, where that is more than ``ANY_RATIO``: a bomb packs 1000 to 1, facts that are all alike 300."""
_PACK_FROM = 512
_M = TypeVar("_M", bound=Up | Down)


class _Columned(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A batch without its facts, and these in columns."""

    batch: Batch
    columns: list[Any]


_encoder = msgspec.msgpack.Encoder()
_fact_decoder = msgspec.msgpack.Decoder(Fact)
_up_decoder: msgspec.msgpack.Decoder[Up] = msgspec.msgpack.Decoder(Up)
_down_decoder: msgspec.msgpack.Decoder[Down] = msgspec.msgpack.Decoder(Down)
_columned_decoder = msgspec.msgpack.Decoder(_Columned)
_compressor = zstandard.ZstdCompressor(level=3)
_decompressor = zstandard.ZstdDecompressor()


def encode_fact(fact: Fact) -> bytes:
    return _encoder.encode(fact)


def decode_fact(body: bytes) -> Fact:
    """Raises FactError for bytes that are no fact, WireError for bytes that are no msgpack."""
    try:
        return _fact_decoder.decode(body)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, FactError):
            raise error.__cause__ from error
        raise FactError("fact", str(error), "the fields of a fact") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"fact: {error}") from error


def encode(message: Up | Down) -> bytes:
    content = _encoder.encode(message)
    if len(content) < _PACK_FROM:
        return bytes((VERSION, PLAIN)) + content
    columns = to_columns(message.bodies) if isinstance(message, Batch) else None
    if columns is None or not isinstance(message, Batch):
        return bytes((VERSION, ZSTD)) + _compressor.compress(content)
    columned = _Columned(batch=msgspec.structs.replace(message, bodies=()), columns=columns)
    return bytes((VERSION, COLUMNS)) + _compressor.compress(_encoder.encode(columned))


def decode_up(data: bytes) -> Up:
    """A message for central. Raises WireError, naming what is wrong with the bytes."""
    if len(data) > MAX_UP:
        raise WireError(f"message: found {len(data)} bytes, expected at most {MAX_UP} from an agent")
    return _decode(data, _decode_up, MAX_UP_CONTENT)


def decode_down(data: bytes) -> Down:
    """A message for an agent. Raises WireError, naming what is wrong with the bytes."""
    return _decode(data, _decode_down, MAX_CONTENT)


def _decode(data: bytes, decode_content: Callable[[int, bytes], _M], most: int) -> _M:
    try:
        return decode_content(*_unpack(data, most))
    except (msgspec.MsgspecError, UnicodeDecodeError, zstandard.ZstdError, RecursionError) as error:
        raise WireError(f"message: {error}") from error


def _decode_up(packing: int, content: bytes) -> Up:
    if packing != COLUMNS:
        return _up_decoder.decode(content)
    found = _columned_decoder.decode(content)
    return msgspec.structs.replace(found.batch, bodies=from_columns(found.columns))


def _decode_down(packing: int, content: bytes) -> Down:
    if packing == COLUMNS:
        raise WireError(f"packing: found {COLUMNS} (facts in columns), expected a message for an agent")
    return _down_decoder.decode(content)


def _unpack(data: bytes, most: int) -> tuple[int, bytes]:
    """Packing and content."""
    if len(data) > MAX_MESSAGE:
        raise WireError(f"message: found {len(data)} bytes, expected at most {MAX_MESSAGE}")
    if len(data) < 2:  # noqa: PLR2004 - the two bytes of the header
        raise WireError(f"message: found {len(data)} bytes, expected a header of 2")
    if data[0] != VERSION:
        raise WireError(f"message version: found {data[0]}, expected {VERSION}; update the older side")
    packing = data[1]
    if packing == PLAIN:
        return packing, data[2:]
    if packing not in {ZSTD, COLUMNS}:
        raise WireError(f"packing: found {packing}, expected {PLAIN} (plain), {ZSTD} (zstd) or {COLUMNS} (columns)")
    most = min(most, max(ANY_RATIO, MAX_RATIO * len(data)))
    size = zstandard.frame_content_size(data[2:])
    if not 0 <= size <= most:
        raise WireError(f"packed content: found {size} bytes, expected at most {most}")
    return packing, _decompressor.decompress(data[2:], max_output_size=most)
