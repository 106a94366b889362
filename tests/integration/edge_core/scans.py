"""A small agent for tests that kill it: records one fact after the other and says "OK <seq>" once it is told so.

Run as a process: ``python scans.py DATA COUNT AT_ONCE`` or ``python scans.py DATA fill``.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from edge_agent.errors import StoreError, StoreFullError
from tests.unit.edge_core.shelf import Shelf, code, piece, taken

PREPARED = 400


async def prepare(path: Path, *, facts: int = 3) -> None:
    """A journal with a session of some facts, and a replica with pieces to take."""
    shelf = Shelf(path)
    await shelf.load(*(piece(number) for number in range(PREPARED)))
    for number in range(facts):
        await shelf.recorder.record(taken(number))
    shelf.close()


def _say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def scan(path: Path, count: int, *, at_once: int, say: Callable[[str], None] = _say) -> None:
    shelf = Shelf(path)
    say("READY")
    waiting = [number for number in range(10, PREPARED) if shelf.stock.item(code(number)) == piece(number)][:count]
    for first in range(0, count, at_once):
        calls = [shelf.recorder.record(taken(number)) for number in waiting[first : first + at_once]]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, StoreError):
                say(f"REFUSED {outcome}")
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                say(f"OK {outcome.ids[0].seq} {outcome.items[0].code}")
    shelf.close()
    say("END")


async def fill(path: Path) -> None:
    """Record until the disk is full, make room, go on; then start anew and compare."""
    await prepare(path)
    ballast = path / "ballast"
    ballast.write_bytes(bytes(100_000))
    shelf = Shelf(path)
    recorded, was_full = 3, False
    for number in range(10, PREPARED):
        try:
            await shelf.recorder.record(taken(number, reason="r" * 256, document="d" * 256, witness="w" * 256))
            recorded += 1
        except StoreFullError as error:
            _say(f"REFUSED {error}")
            was_full = True
            ballast.unlink(missing_ok=True)
    shelf.close()
    restarted = Shelf(path)
    assert was_full, "the file system never was full"
    assert len(restarted.facts()) == recorded, "what was said to be recorded is recorded, and nothing else"
    restarted.close()
    _say("END")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if sys.argv[2] == "fill":
        asyncio.run(fill(place))
    else:
        asyncio.run(scan(place, int(sys.argv[2]), at_once=int(sys.argv[3])))
