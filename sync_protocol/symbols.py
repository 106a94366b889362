"""2-D symbols for paper: a Data Matrix as the outline of its dark modules, so that any page can draw it at any size."""

import re

import msgspec
import zxingcpp

_SVG = re.compile(r'<svg width="([0-9]+)" height="([0-9]+)".*?<path d="([^"]+)"', re.DOTALL)


class Symbol(msgspec.Struct, frozen=True, kw_only=True):
    """``path``: of an SVG that is so many modules wide and high; paper around it is its quiet zone."""

    width: int
    height: int
    path: str


def symbol(text: str) -> Symbol:
    drawn = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
    found = _SVG.search(drawn.to_svg(add_quiet_zones=False))
    assert found is not None, "zxing-cpp draws one path"
    return Symbol(width=int(found[1]), height=int(found[2]), path=found[3])
