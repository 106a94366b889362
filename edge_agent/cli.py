"""``codepool-edge``: run an agent, check its configuration, say how it stands, save what is intact of a journal."""

import argparse
import asyncio
import base64
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

import msgspec

from edge_agent import app, logs
from edge_agent.clock import SystemClock, fresh_session
from edge_agent.config import Config, load
from edge_agent.errors import EdgeError, Exit
from edge_agent.played_time import clock_of
from edge_agent.store.identity import open_identity
from edge_agent.store.salvage import salvage
from edge_agent.store.status import read_status
from sync_protocol import garbage
from sync_protocol.envelope import fingerprint

EPILOG = """\
exit status:
   0  ended as asked
  64  wrong use of this command
  65  the journal is damaged (see salvage)
  66  the configuration file cannot be read
  69  the port of the screen is in use
  70  a fault of this software
  74  the disk is full or broken
  75  another agent holds the data folder
  76  the journal was written by newer software
  78  the configuration is wrong: every mistake is named
"""


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        return int(_run_command(chosen))
    except EdgeError as error:
        return _report(error)
    except BaseExceptionGroup as group:
        first = _first_edge_error(group)
        if first is None:
            raise
        return _report(first)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codepool-edge",
        description="The agent of one workplace: station, cabinet or packager.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, said in (("run", "run the agent until it is stopped"), ("check-config", "name every mistake")):
        command = commands.add_parser(name, help=said, description=said)
        command.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, in TOML")
        if name == "run":
            command.add_argument(
                "--played-time", type=Path, metavar="FILE", help="for simulations only: the file says what time it is"
            )
    status = commands.add_parser("status", help="say what is not in the ledger yet, also while an agent runs")
    status.add_argument("--data", type=Path, required=True, metavar="DIR", help="the agent's data folder")
    status.add_argument("--json", action="store_true", help="for programs")
    known = commands.add_parser(
        "identity", help="show the public key of this device and its fingerprint; make the key if need be"
    )
    known.add_argument("--data", type=Path, required=True, metavar="DIR", help="the agent's data folder")
    save = commands.add_parser("salvage", help="save every intact fact of a damaged journal")
    save.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data folder, or a copy of it")
    save.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write them, one JSON a line")
    return parser


def _run_command(chosen: argparse.Namespace) -> Exit:
    match chosen.command:
        case "run":
            logs.configure()
            config = load(chosen.config)
            garbage.seldom()
            asyncio.run(_serve(config, chosen.played_time))
        case "check-config":
            config = load(chosen.config)
            _say(f"{chosen.config}: no mistakes; {len(config.devices)} devices")
        case "status":
            status = read_status(chosen.data, now_us=SystemClock().wall_us())
            _say(msgspec.json.encode(status).decode() if chosen.json else str(status))
        case "identity":
            key = open_identity(chosen.data).public
            _say(f"key          {base64.b64encode(key).decode()}\nfingerprint  {fingerprint(key)}")
        case "salvage":
            _say(str(salvage(chosen.data, chosen.out)))
    return Exit.OK


async def _serve(config: Config, played: Path | None) -> None:
    clock = clock_of(Path(config.agent.data), played)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await app.run(config, clock=clock, session=fresh_session(), random=SystemRandom(), stop=stop)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _report(error: EdgeError) -> int:
    sys.stderr.write(f"codepool-edge: {error}\n")
    return int(error.exit_status)


def _first_edge_error(group: BaseExceptionGroup[BaseException]) -> EdgeError | None:
    """The error that says what to do. Any other in the group is a fault of this software and is shown whole."""
    edge, rest = group.split(EdgeError)
    if edge is None or rest is not None:
        return None
    first: BaseException = edge
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, EdgeError) else None
