"""Finds the codes of one picture: ``python -m edge_agent.picture_reader < picture > codes``.

A process of its own for each picture. Decoders of images are native code that is given whatever a camera or a person
sends: one that dies, hangs or wants all memory takes nothing of the agent with it.
"""

import io
import resource
import sys
import warnings

import msgspec
import zxingcpp
from PIL import Image, UnidentifiedImageError

PIXELS_AT_MOST = 64_000_000
MEMORY_AT_MOST = 2 * 1024**3
NO_PICTURE, TOO_LARGE = 65, 66
"""Exit statuses: stdin is no picture; it has more pixels than are read."""


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """One symbol: what it says, and its AIM identifier."""

    data: bytes
    aim: str


class Sheet(msgspec.Struct, frozen=True, array_like=True):
    """A picture that was read. ``marks``: its symbols from top to bottom, no two that say the same."""

    width: int
    height: int
    marks: tuple[Mark, ...]


def read(picture: bytes) -> Sheet:
    """Raises UnidentifiedImageError, OSError for what is no picture, ValueError for one that is too large."""
    with Image.open(io.BytesIO(picture)) as image:
        if image.width * image.height > PIXELS_AT_MOST:
            raise ValueError(f"{image.width} × {image.height} pixels")
        symbols = zxingcpp.read_barcodes(image.convert("L"), text_mode=zxingcpp.TextMode.Plain)
        symbols.sort(key=lambda symbol: symbol.position.top_left.y)
        marks = dict.fromkeys(Mark(bytes(symbol.bytes), symbol.symbology_identifier) for symbol in symbols)
        return Sheet(image.width, image.height, tuple(marks))


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_AT_MOST, MEMORY_AT_MOST))
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is asked
    try:
        sheet = read(sys.stdin.buffer.read())
    except ValueError as error:
        sys.stderr.write(str(error))
        return TOO_LARGE
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError, MemoryError) as error:
        sys.stderr.write(type(error).__name__)
        return NO_PICTURE
    sys.stdout.buffer.write(msgspec.msgpack.encode(sheet))
    return 0


if __name__ == "__main__":
    sys.exit(main())
