"""The physical log: what hands and machines did, written before any wire hears of it, and what screens then showed.

One JSON line each. No program of codepool sees this file; with it the checker knows what happened, whatever they say.
"""

import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import msgspec


class Act(StrEnum):
    SCANNED = "scanned"
    """A box under the scanner."""
    PRESSED = "pressed"
    """An order was handed out, with these units."""
    PUT_IN = "put_in"
    TAKEN_OUT = "taken_out"
    """A piece, into or out of a cabinet."""
    POUCHED = "pouched"
    """A machine sealed these units into a pouch for an order."""
    SHOWN = "shown"
    """A screen said that it is done, or why not (``result``): what it says is done must be in the ledger."""


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. ``step`` of SHOWN is the fact's name: received, prescanned, dispensed, taken, put_back."""

    at_us: int
    agent: str
    act: Act
    step: str = ""
    codes: tuple[str, ...] = ()
    order: str = ""
    note: str = ""
    result: str = ""


DONE = "done"


class PhysicalLog:
    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(
        self,
        agent: str,
        act: Act,
        *,
        codes: Iterable[str] = (),
        step: str = "",
        order: str = "",
        note: str = "",
        result: str = "",
    ) -> None:
        mark = Mark(
            at_us=time.time_ns() // 1000,
            agent=agent,
            act=act,
            step=step,
            codes=tuple(codes),
            order=order,
            note=note,
            result=result,
        )
        self._file.write(msgspec.json.encode(mark) + b"\n")

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[Mark]:
    """Raises msgspec.DecodeError for a line that is none."""
    return [msgspec.json.decode(line, type=Mark) for line in path.read_bytes().splitlines()]
