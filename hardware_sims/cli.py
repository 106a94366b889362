"""codepool-sims: the other end of every cable."""

import argparse
import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path

import msgspec

from drivers.wire.scanner import Suffix
from hardware_sims import bench
from hardware_sims.books.papers import PaperError
from hardware_sims.books.report import check, table
from hardware_sims.broker import Brand, BrokerMissingError
from hardware_sims.month import command as month_command
from hardware_sims.platforms.hospital import HospitalError
from hardware_sims.process import ProcessDiedError
from hardware_sims.scenarios.demo import Demo, play
from hardware_sims.scenarios.errors import PlayError, first_of
from hardware_sims.settings import INSTITUTION
from hardware_sims.soak import command
from hardware_sims.truth import PhysicsError

OK, UNBALANCED, BROKEN, UNUSABLE = 0, 1, 70, 69
# asyncio turns Ctrl-C into a cancellation, and not always back into what it was.
_ENOUGH = (KeyboardInterrupt, asyncio.CancelledError)
_UNUSABLE = (BrokerMissingError, PaperError, OSError)
_TOLD = (*_UNUSABLE, ProcessDiedError, PlayError, HospitalError, PhysicsError)

_ABOUT = """\
Simulated hardware on real wires (ptys, TCP), simulated outside platforms on real HTTP, and a hospital's morning played
over them with the real programs: broker, central and three edge agents, each a process of its own.
"""
_STATUSES = f"""\
exit status:
  {OK}   all is well; for 'demo --once' and 'books': the books balance
  {UNBALANCED}   the books do not balance: a fact lost or twice, a box that does not add up, a unit not reported, or the
      ledger and the truth differ; the table and the JSON say which
  2   wrong options
  {UNUSABLE}  something is missing (no mosquitto) or unreadable (a store)
  {BROKEN}  a program ended or did not answer in time; the message holds the end of its log
"""
_DEMO = """\
Plays one morning: boxes are received and pre-scanned, orders come by FHIR, units are locked, handed out, packed and
reported to the insurer; consumables are received, taken, put back and used by RFID. Half way the broker is killed for
20 s and an agent is killed with -9 while scanning goes on.

With --once it ends after the morning, compares journals, ledger, truth and the insurer's rows, and prints the books.
Without, it goes on with new orders and scans until Ctrl-C and prints where the pages are and who can sign in.
"""


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """The exit status. Errors are told on standard error, on one screen."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except _ENOUGH:
        return OK
    except _TOLD as error:
        return _told(error)
    except ExceptionGroup as group:
        # Hands that worked side by side: what stopped one of them first stopped the play.
        told = first_of(group, _TOLD)
        if told is None:
            raise
        return _told(told)


def _told(error: Exception) -> int:
    print(f"codepool-sims: {error}", file=sys.stderr)  # noqa: T201 - a command's answer
    return UNUSABLE if isinstance(error, _UNUSABLE) else BROKEN


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "demo":
            return _demo(options)
        case "books":
            return _books(options.dir, options.json)
        case "soak":
            return command.soak(options, _say)
        case "month":
            return month_command.month(options, _say)
        case _:
            with contextlib.suppress(*_ENOUGH):
                asyncio.run(_device(options))
            return OK


def _demo(options: argparse.Namespace) -> int:
    directory = options.dir or Path(tempfile.mkdtemp(prefix="codepool-demo-"))
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty: name a new folder, the books of two mornings do not mix")
    demo = Demo(
        seed=options.seed,
        brand=Brand(options.broker),
        directory=directory,
        language=options.language,
        is_once=options.once,
    )
    is_done_with = False
    try:
        asyncio.run(play(demo, _say))
        status = _books(directory, options.json)
        is_done_with = status == OK
    except _ENOUGH:
        is_done_with = True
        raise
    finally:
        if is_done_with and options.dir is None and not options.keep:
            shutil.rmtree(directory)
        else:
            _say(f"files kept in {directory}")
    return status


def _books(directory: Path, json: Path | None) -> int:
    books = check(directory)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(books)) + b"\n")
    _say(table(books))
    _say("books balance" if books.is_balanced else "BOOKS DO NOT BALANCE")
    return OK if books.is_balanced else UNBALANCED


def _device(options: argparse.Namespace) -> Coroutine[None, None, None]:
    lines = bench.typed_lines()
    match options.device:
        case "scanner":
            settings = bench.ScannerOptions(pty=options.pty, suffix=Suffix(options.suffix), sends_aim=options.aim)
            return bench.scanner(settings, lines, _say)
        case "lock-board":
            return bench.lock_board(options.pty, lines, _say)
        case "packager":
            return bench.packager(options.port, lines, _say)
        case "reader":
            return bench.reader(options.port, options.seed, lines, _say)
        case _:
            return bench.insurer(options.port, options.institution, lines, _say)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codepool-sims",
        description=_ABOUT,
        epilog=_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    books = commands.add_parser("books", help="audit the folder of a played morning once more", epilog=_STATUSES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    books.add_argument("--dir", type=Path, required=True, metavar="DIR", help="the folder that 'demo' played in")
    books.add_argument("--json", type=Path, metavar="FILE", help="write the books as JSON")
    command.add_options(commands)
    month_command.add_options(commands)
    _add_devices(commands)
    return parser


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = commands.add_parser(
        "demo",
        help="play a hospital's morning",
        description=_DEMO,
        epilog=_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument("--once", action="store_true", help="play the morning once (under 90 s), then audit the books")
    demo.add_argument(
        "--seed", type=int, default=7, metavar="N", help="the same seed gives the same counts (%(default)s)"
    )
    demo.add_argument("--json", type=Path, metavar="FILE", help="with --once: write the books as JSON")
    demo.add_argument(
        "--broker", choices=[brand.value for brand in Brand], default=Brand.AMQTT.value, help="(%(default)s)"
    )
    demo.add_argument(
        "--dir", type=Path, metavar="DIR", help="an empty or new folder for stores and logs (a temporary one)"
    )
    demo.add_argument("--language", choices=["zh-CN", "en"], default="zh-CN", help="of the pages (%(default)s)")
    demo.add_argument("--keep", action="store_true", help="keep the temporary folder although the books balance")


def _add_devices(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    device = commands.add_parser("device", help="serve one simulated device, moved by what is typed, until Ctrl-C")
    devices = device.add_subparsers(dest="device", required=True, metavar="DEVICE")
    scanner = devices.add_parser("scanner", help="serial barcode scanner: each line typed is one scan")
    scanner.add_argument("--suffix", choices=[suffix.value for suffix in Suffix], default=Suffix.CR.value)
    scanner.add_argument("--aim", action="store_true", help="send AIM identifiers")
    board = devices.add_parser("lock-board", help="8A lock board with its doors")
    for serial in (scanner, board):
        serial.add_argument("--pty", type=Path, required=True, metavar="PATH", help="where the tty is to be found")
    packager = devices.add_parser("packager", help="unit-dose packager")
    reader = devices.add_parser("reader", help="LLRP reader with a cabinet of tags")
    reader.add_argument("--seed", type=int, default=7, metavar="N", help="of what it misses and hears too much")
    insurer = devices.add_parser("insurer", help="the insurer's platform (3505A, query 3590)")
    insurer.add_argument("--institution", default=INSTITUTION, metavar="CODE", help="(%(default)s)")
    for tcp in (packager, reader, insurer):
        tcp.add_argument("--port", type=int, default=0, metavar="PORT", help="of 127.0.0.1 (any free one)")


if __name__ == "__main__":
    main()
