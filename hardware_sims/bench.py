"""One simulated device, moved by what is typed: to try an agent, to train, to find out which side is wrong."""

import asyncio
import contextlib
import re
import shlex
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from drivers.wire.scanner import Profile, Suffix
from hardware_sims.catalogue import CATALOGUE, Role
from hardware_sims.devices.llrp_reader import LlrpReader
from hardware_sims.devices.lock_board import SimLockBoard
from hardware_sims.devices.packager import SimPackager
from hardware_sims.devices.scanner import SimScanner
from hardware_sims.equipment import CABINET_PLACE
from hardware_sims.platforms.insurer import Insurer
from hardware_sims.platforms.serving import served
from hardware_sims.radio import Place, RadioField
from hardware_sims.serve import PtyPort, TcpPort

_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")
Say = Callable[[str], None]
Act = Callable[[Sequence[str]], Awaitable[None] | None]


class BenchError(Exception):
    """What was typed cannot be done."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One word of a device's bench. ``does`` gets the words behind it."""

    usage: str
    does: Act
    arguments: int = 1


class ScannerOptions(msgspec.Struct, frozen=True, kw_only=True):
    pty: Path
    suffix: Suffix = Suffix.CR
    sends_aim: bool = False


async def scanner(options: ScannerOptions, lines: AsyncIterator[str], say: Say) -> None:
    device = SimScanner(profile=Profile(suffix=options.suffix), sends_aim=options.sends_aim)
    async with PtyPort(options.pty, device.talk) as port:
        say(f"scanner on {port.url}; each line is one scan (\\x1d is GS, any \\x.. is that byte)")
        async for line in lines:
            await device.scan(_unescaped(line))
            say("scanned")


async def lock_board(pty: Path, lines: AsyncIterator[str], say: Say) -> None:
    device = SimLockBoard()
    commands = {
        "close": Command(usage="close LOCK: a hand shuts the door", does=lambda words: device.close(_number(words[0]))),
        "open": Command(usage="open LOCK: by key", does=lambda words: device.open_by_key(_number(words[0]))),
        "jam": Command(usage="jam LOCK: it does not let go", does=lambda words: device.jam(_number(words[0]))),
        "free": Command(usage="free LOCK", does=lambda words: device.free(_number(words[0]))),
        "doors": Command(
            usage="doors: which are open", does=lambda _: say(f"open: {sorted(device.open_doors)}"), arguments=0
        ),
    }
    async with PtyPort(pty, device.talk) as port:
        say(f"lock board on {port.url}")
        await _obey(commands, lines, say)


async def packager(port: int, lines: AsyncIterator[str], say: Say) -> None:
    canisters = {good.id: 1000 for good in CATALOGUE if good.role is Role.PACKAGER}
    device = SimPackager(canisters=canisters, pouch_s=1.0)
    commands = {
        "fill": Command(
            usage="fill PRODUCT QUANTITY", does=lambda words: device.fill(words[0], _number(words[1])), arguments=2
        ),
        "jam": Command(usage="jam: the next pouch", does=lambda _: device.jam(), arguments=0),
        "clear": Command(usage="clear: the jam", does=lambda _: device.clear_jam(), arguments=0),
        "waste": Command(usage="waste: the next pouch is spoilt", does=lambda _: device.waste_next(), arguments=0),
        "pouches": Command(usage="pouches: made so far", does=lambda _: say(f"{len(device.pouches)}"), arguments=0),
    }
    async with TcpPort(device.talk, port=port) as served_port:
        say(f"packager on {served_port.url}; canisters: {', '.join(canisters)}")
        await _obey(commands, lines, say)


async def reader(port: int, seed: int, lines: AsyncIterator[str], say: Say) -> None:
    field = RadioField(seed=seed)
    commands = {
        "put": Command(
            usage="put EPC: into the cabinet", does=lambda words: field.place(words[0], Place(cabinet=CABINET_PLACE))
        ),
        "beside": Command(
            usage="beside EPC: in front of the cabinet, heard all the same",
            does=lambda words: field.place(words[0], Place(cabinet=CABINET_PLACE, is_inside=False)),
        ),
        "take": Command(usage="take EPC: out of reach", does=lambda words: field.remove(words[0])),
        "inside": Command(
            usage="inside: the truth", does=lambda _: say(" ".join(sorted(field.inside(CABINET_PLACE)))), arguments=0
        ),
    }
    async with LlrpReader(field, port=port) as device:
        say(f"reader on 127.0.0.1:{device.port}")
        await _obey(commands, lines, say)


async def insurer(port: int, institution: str, lines: AsyncIterator[str], say: Say) -> None:
    contents = {good.insurance_code: good.units for good in CATALOGUE if good.role is not Role.CABINET}
    platform = Insurer(institution=institution, contents=contents)
    counter = platform.counter
    commands = {
        "rows": Command(usage="rows: accepted so far", does=lambda _: say(f"{len(counter.accepted)}"), arguments=0),
        "refused": Command(
            usage="refused: rows and why",
            does=lambda _: say("\n".join(f"{row.serial}: {row.cause}" for row in counter.refused) or "none"),
            arguments=0,
        ),
    }
    async with served(platform.application(), port=port) as url:
        say(f"insurer on {url}, for institution {institution}")
        await _obey(commands, lines, say)


async def typed_lines() -> AsyncIterator[str]:
    """Lines of standard input; at its end this waits for ever, so that a device without a keyboard goes on."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError, ValueError):  # the program ended first
            for line in sys.stdin:
                loop.call_soon_threadsafe(queue.put_nowait, line.rstrip("\n"))

    threading.Thread(target=read, name="keyboard", daemon=True).start()
    while True:
        line = await queue.get()
        if line.strip():
            yield line


async def _obey(commands: Mapping[str, Command], lines: AsyncIterator[str], say: Say) -> None:
    say("\n".join(f"  {command.usage}" for command in commands.values()))
    async for line in lines:
        try:
            await _do(commands, shlex.split(line))
        except (BenchError, KeyError, ValueError) as error:
            say(f"not done: {error}")
        else:
            say("done")


async def _do(commands: Mapping[str, Command], words: Sequence[str]) -> None:
    command = commands.get(words[0])
    if command is None:
        raise BenchError(f"{words[0]!r} is unknown, expected {', '.join(commands)}")
    if len(words) - 1 != command.arguments:
        raise BenchError(f"expected: {command.usage}")
    doing = command.does(words[1:])
    if doing is not None:
        await doing


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise BenchError(f"found {word!r}, expected a number")
    return int(word)


def _unescaped(line: str) -> bytes:
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), line.encode())
