"""Photographs of boxes with their codes, as a camera over a table would take them, and a video of one."""

import io
from collections.abc import Sequence
from pathlib import Path

import zxingcpp
from PIL import Image

WIDTH, HEIGHT = 1920, 1080
_COLUMNS, _ROWS = 4, 5


def _symbol(text: str, number: int) -> Image.Image:
    """Linear and two-dimensional symbols in turn, as boxes bear both."""
    if number % 3:
        linear = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.Code128)
        bars = Image.fromarray(linear.to_image(scale=2))
        return bars.resize((bars.width, 70))
    return Image.fromarray(zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix).to_image(scale=5))


def photo(codes: Sequence[str], *, degrees: float = 4.0) -> Image.Image:
    """At most 20 codes, from left to right and line by line, on a table that is not quite straight."""
    assert len(codes) <= _COLUMNS * _ROWS
    table = Image.new("L", (WIDTH, HEIGHT), 215)
    for number, code in enumerate(codes):
        symbol = _symbol(code, number)
        box = Image.new("L", (symbol.width + 40, symbol.height + 40), 255)
        box.paste(symbol, (20, 20))
        row, column = divmod(number, _COLUMNS)
        table.paste(box, (40 + column * WIDTH // _COLUMNS, 40 + row * HEIGHT // _ROWS))
    return table.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=215, expand=True)


def as_jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def write_video(image: Image.Image, path: Path) -> None:
    """One still frame as YUV4MPEG2, for a browser that plays it as its camera."""
    still = image.resize((WIDTH, HEIGHT))
    grey = bytes([128]) * (WIDTH * HEIGHT // 2)
    head = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F5:1 Ip A1:1 C420mpeg2\n".encode()
    path.write_bytes(head + b"FRAME\n" + still.tobytes() + grey)
