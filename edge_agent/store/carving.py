"""Reads rows out of the raw pages of an SQLite file, whatever of the rest is damaged.

Only leaf pages of tables (type 0x0d) are read: a page says where its cells are, a cell holds one whole row or names
the overflow pages that hold the rest. Rows of a journal never change, so a row may be taken from any copy of its page:
in the file itself or in any frame of its ``-wal``. Source: https://www.sqlite.org/fileformat2.html, 1.6, 2.1, 4.1.

::

    page  = 0d | first free block (2) | cells (2) | content start (2) | fragments (1) | cell offsets (2 each)
    cell  = payload size (varint) | rowid (varint) | payload [| first overflow page (4)]
    wal   = header (32) | frames: page number (4) | … (20) | page
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

PAGE = 4096
_LEAF = 0x0D
_LEAF_HEADER = 8
_WAL_HEADER = 32
_FRAME_HEADER = 24
_SCHEMA_OFFSET = 100
_MOST_LOCAL = PAGE - 35
_LEAST_LOCAL = (PAGE - 12) * 32 // 255 - 23
_LARGEST_ROW = 1 << 20
_INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_FIRST_BLOB, _FIRST_TEXT = 12, 13

Value = int | bytes | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Text comes as bytes: whoever knows the table decodes it."""

    rowid: int
    values: tuple[Value, ...]


def carve(path: Path) -> Iterator[Row]:
    """Every row that any page still holds, damaged or stale ones included: the caller verifies."""
    pages = list(_pages(path))
    latest: dict[int, list[bytes]] = {}
    for number, page in pages:
        latest.setdefault(number, []).append(page)
    for number, page in pages:
        yield from _rows(page, header=_SCHEMA_OFFSET if number == 1 else 0, pages=latest)


def _pages(path: Path) -> Iterator[tuple[int, bytes]]:
    data = path.read_bytes() if path.exists() else b""
    for first in range(0, len(data) - PAGE + 1, PAGE):
        yield first // PAGE + 1, data[first : first + PAGE]
    wal = path.with_name(f"{path.name}-wal")
    data = wal.read_bytes() if wal.exists() else b""
    for first in range(_WAL_HEADER, len(data) - _FRAME_HEADER - PAGE + 1, _FRAME_HEADER + PAGE):
        (number,) = struct.unpack_from(">I", data, first)
        yield number, data[first + _FRAME_HEADER : first + _FRAME_HEADER + PAGE]


def _rows(page: bytes, *, header: int, pages: dict[int, list[bytes]]) -> Iterator[Row]:
    if page[header] != _LEAF:
        return
    (cells,) = struct.unpack_from(">H", page, header + 3)
    offsets_end = header + _LEAF_HEADER + 2 * cells
    if offsets_end > PAGE:
        return
    for (offset,) in struct.iter_unpack(">H", page[header + _LEAF_HEADER : offsets_end]):
        try:
            for payload, rowid in _payloads(page, offset, pages):
                yield Row(rowid=rowid, values=tuple(_values(payload)))
        except (IndexError, ValueError, struct.error):
            continue  # not a cell: the page is damaged here


def _payloads(page: bytes, offset: int, pages: dict[int, list[bytes]]) -> Iterator[tuple[bytes, int]]:
    size, offset = _varint(page, offset)
    rowid, offset = _varint(page, offset)
    if size > _LARGEST_ROW:
        raise ValueError(f"row of {size} bytes")
    local = size
    if size > _MOST_LOCAL:
        local = _LEAST_LOCAL + (size - _LEAST_LOCAL) % (PAGE - 4)
        local = local if local <= _MOST_LOCAL else _LEAST_LOCAL
    content = page[offset : offset + local]
    if len(content) < local:
        raise ValueError("cell beyond its page")
    if local == size:
        yield content, rowid
        return
    (overflow,) = struct.unpack_from(">I", page, offset + local)
    for copy in range(_copies(overflow, pages)):
        yield content + _overflow(overflow, size - local, pages, copy), rowid


def _copies(number: int, pages: dict[int, list[bytes]]) -> int:
    return len(pages.get(number, ()))


def _overflow(number: int, size: int, pages: dict[int, list[bytes]], copy: int) -> bytes:
    content = b""
    while len(content) < size:
        copies = pages.get(number, [])
        page = copies[min(copy, len(copies) - 1)]
        (number,) = struct.unpack_from(">I", page)
        content += page[4:]
    return content[:size]


def _values(payload: bytes) -> Iterator[Value]:
    header_size, offset = _varint(payload, 0)
    kinds = []
    while offset < header_size:
        kind, offset = _varint(payload, offset)
        kinds.append(kind)
    for kind in kinds:
        value, offset = _value(payload, offset, kind)
        yield value
    if offset != len(payload):
        raise ValueError("row of another length")


def _value(payload: bytes, offset: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, offset
    if kind in {8, 9}:
        return kind - 8, offset
    if kind in _INTEGER_SIZES:
        end = offset + _INTEGER_SIZES[kind]
        return int.from_bytes(payload[offset:end], "big", signed=True), end
    if kind < _FIRST_BLOB:
        raise ValueError(f"value of kind {kind}")
    end = offset + (kind - (_FIRST_TEXT if kind % 2 else _FIRST_BLOB)) // 2
    if end > len(payload):
        raise ValueError("value beyond its row")
    return payload[offset:end], end


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        byte = data[offset + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the bit that says whether more follows
            return value, offset + place + 1
    return value << 8 | data[offset + 8], offset + 9
