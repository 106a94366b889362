"""Lines of a chart, worked out here and drawn as SVG by the page: no script, and it prints."""

import math
from collections.abc import Callable, Sequence

import msgspec

WIDTH, HEIGHT = 440, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 10, 22
_TICKS = 4


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Values in a row, evenly apart; None leaves a gap. ``titles``: what a pointer over each value says."""

    name: str
    values: Sequence[float | None]
    titles: Sequence[str]


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    x: float
    y: float
    title: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """``path``: of an SVG path element."""

    name: str
    path: str
    dots: tuple[Dot, ...]


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    label: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    floor: int = HEIGHT - _BOTTOM

    @property
    def is_empty(self) -> bool:
        return not any(line.dots for line in self.lines)


def chart(rows: Sequence[Given], *, label: Callable[[float], str], most: float = math.inf) -> Chart:
    """From 0 to the highest value; ``most``: the highest that there can be."""
    count = max((len(row.values) for row in rows), default=0)
    top = max((value for row in rows for value in row.values if value is not None), default=0.0)
    step = _nice(min(top, most) / _TICKS if top else 1.0 / _TICKS)
    ceiling = min(most, step * max(1, math.ceil(top / step - 1e-9)))
    y_ticks = [n * step for n in range(_TICKS * 3) if n * step <= ceiling * (1 + 1e-9)]
    every = max(1, math.ceil(count / 8))
    return Chart(
        lines=tuple(_line(row, count, ceiling) for row in rows),
        x_ticks=tuple(Tick(at=_x(n, count), label=str(n + 1)) for n in range(0, count, every)),
        y_ticks=tuple(Tick(at=_y(value, ceiling), label=label(value)) for value in y_ticks),
    )


def _line(row: Given, count: int, ceiling: float) -> Line:
    path, dots, is_open = [], [], False
    for n, (value, title) in enumerate(zip(row.values, row.titles, strict=True)):
        if value is None:
            is_open = False
            continue
        dot = Dot(x=_x(n, count), y=_y(value, ceiling), title=title)
        path.append(f"{'L' if is_open else 'M'}{dot.x} {dot.y}")
        dots.append(dot)
        is_open = True
    return Line(name=row.name, path="".join(path), dots=tuple(dots))


def _x(n: int, count: int) -> float:
    room = WIDTH - _LEFT - _RIGHT
    return round(_LEFT + room * (n + 0.5) / count, 1)


def _y(value: float, ceiling: float) -> float:
    room = HEIGHT - _TOP - _BOTTOM
    return round(HEIGHT - _BOTTOM - room * min(value / ceiling, 1.0), 1)


def _nice(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= step * (1 - 1e-9))
