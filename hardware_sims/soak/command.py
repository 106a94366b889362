"""``codepool-sims soak``: its options, and what it says at the end."""

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from hardware_sims.broker import Brand
from hardware_sims.soak.report import report, table
from hardware_sims.soak.run import Soak, run
from hardware_sims.soak.site import agent_names

PASSED, FAILED = 0, 1
_MOST_AGENTS = 50

_ABOUT = """\
Runs the real programs (broker, central, agents with simulated scanners, cabinet and packager, each a process) while
scripted staff work at them, and does to them what a hospital's network and power do, drawn from the seed: lines that
are cut, late, deaf in one direction or flapping; messages lost, repeated, out of order or of an earlier connection;
processes paused, and killed with -9, the broker with all it had kept. Then everything is healed, all must converge,
and an audit compares the files: journals, ledger, replicas, and the log of what was really scanned and moved.
"""
_EPILOG = """\
exit status:
  0   nothing lost, nothing twice, no box that does not add up, all chains whole, all recalls held, converged in time
  1   something of that is not so: the table and the JSON name each fact; the files are kept
  2   wrong options
  69  something is missing (no mosquitto) or cannot be written
  70  a program ended that nobody killed, or would not start again; the message holds the end of its log

examples:
  codepool-sims soak --minutes 10 --seed 3 --json out.json
  codepool-sims soak --rounds 100 --seed 1 --agents 2 --json kills.json     kill -9 in any order, a hundred times

The same seed decides the same troubles at the same times (`decisions` in the JSON). What the machine makes of them is
its own: `events` and `recoveries` have the seconds.
"""


def add_options(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    soak = commands.add_parser(
        "soak",
        help="real processes under real faults, then an audit",
        description=_ABOUT,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    soak.add_argument("--minutes", type=_minutes, default=10.0, metavar="N", help="how long it storms (%(default)g)")
    soak.add_argument(
        "--rounds", type=_count, default=0, metavar="N", help="in place of storms: N kills, one at a time"
    )
    soak.add_argument("--seed", type=int, default=3, metavar="N", help="decides all troubles (%(default)s)")
    soak.add_argument("--agents", type=_agents, default=5, metavar="N", help="workplaces (%(default)s)")
    soak.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found")
    soak.add_argument(
        "--broker", choices=[brand.value for brand in Brand], default=Brand.MOSQUITTO.value, help="(%(default)s)"
    )
    soak.add_argument(
        "--dir", type=Path, metavar="DIR", help="an empty or new folder for stores and logs (a temporary one)"
    )
    soak.add_argument("--keep", action="store_true", help="keep the temporary folder although all is well")


def soak(options: argparse.Namespace, say: Callable[[str], None]) -> int:
    """The exit status. Raises what ``run`` and ``report`` raise."""
    directory: Path = options.dir or Path(tempfile.mkdtemp(prefix="codepool-soak-"))
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty: name a new folder, the files of two soaks do not mix")
    brand = Brand(options.broker)
    asked = Soak(
        seed=options.seed,
        brand=brand,
        directory=directory,
        agents=options.agents,
        minutes=options.minutes,
        rounds=options.rounds,
    )
    is_done_with = False
    try:
        course = asyncio.run(run(asked, say))
        found = report(
            course,
            directory,
            agent_names(asked.agents),
            broker=brand.value,
            minutes=asked.minutes,
            rounds=asked.rounds,
        )
        if options.json is not None:
            options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
        say(table(found))
        say("soak passed" if found.passed else "SOAK FAILED")
        is_done_with = found.passed
    except (KeyboardInterrupt, asyncio.CancelledError):
        is_done_with = True
        raise
    finally:
        if is_done_with and options.dir is None and not options.keep:
            shutil.rmtree(directory)
        else:
            say(f"files kept in {directory}")
    return PASSED if found.passed else FAILED


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0.1 <= minutes <= 10_000:  # noqa: PLR2004 - six seconds to a week
        raise argparse.ArgumentTypeError(f"found {text!r}, expected minutes from 0.1 to 10000")
    return minutes


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return int(text)


def _agents(text: str) -> int:
    count = _count(text)
    if count > _MOST_AGENTS:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected at most {_MOST_AGENTS} agents")
    return count
