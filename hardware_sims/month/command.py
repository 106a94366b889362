"""``codepool-sims month``: its options, its progress, and what it says at the end."""

import argparse
import asyncio
import datetime as dt
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hardware_sims.broker import Brand
from hardware_sims.month.hands import ZONE
from hardware_sims.month.orders import DAY_US
from hardware_sims.month.parameters import Parameters, told
from hardware_sims.month.play import LENGTH, Play
from hardware_sims.month.run import as_json, run
from hardware_sims.month.table import Report, shown

BALANCED, UNBALANCED = 0, 1
_BEGAN = dt.date(2025, 6, 2)
_MOST_ORDERS = 2_000_000
_WIDTH = 30
_PIPED_EVERY_S = 10.0
Say = Callable[[str], None]

_ABOUT = """\
Plays twelve weeks of a hospital's central pharmacy through the real programs (broker, central, two agents, each a
process of its own) in compressed time, and prints the table of the drug paper as the console of codepool computes it:
upload rate by week, stocktake error, internal errors a day, dispensing time by kind of order, paired t-tests.

Three periods of four weeks, by what staff do about codes:
  no codes         nothing is scanned; billing alone tells what went out
  scanned by hand  boxes are received by scan; each unit is to be scanned at its hand-out; nothing stops who does not
  pre-scan, pool   boxes are pre-scanned when they come; the pool locks codes, whole boxes are scanned at their hand-out

Doctors order by FHIR (a batch each minute), pharmacists work at PDAs (JSON of the station's page), billing speaks as a
machine (POST /vends), loans, quarantine, recall and stocktakes are forms of the console and its interface, the insurer
is a simulated platform. With it come returns, loans, damage, one recall, deliveries, weekly stocktakes with recounts,
miscounts.

Time: all programs take the time of day from one file (run --played-time, for simulations only), which stands still
while somebody acts and then goes to the next event. Timeouts, retries and leases run by the machine's own clock.

No figure of the table is put in. What is assumed of staff is printed with it and listed here:
"""
_EPILOG = """\
exit status:
  0   the books balance: journals, ledger, its facts, what went over the counter and what the insurer has agree
  1   they do not: the table and the JSON say where; the files are kept
  2   wrong options
  69  something is missing (no mosquitto) or cannot be written
  70  a program ended or did not answer in time; the message holds the end of its log

examples:
  codepool-sims month --seed 5 --orders 20000 --json out.json
  codepool-sims month --seed 5 --orders 700000 --dir /var/tmp/paper     the paper's volume: hours, see docs/month.md
  codepool-sims month --orders 500 --set wrong_pick=0.02 --set scan=60  other assumptions

The same seed, orders and assumptions give the same table.
"""


def add_options(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    month = commands.add_parser(
        "month",
        help="a paper's hospital in compressed time, and its table",
        description=_ABOUT + "\n" + _parameters(),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    month.add_argument("--orders", type=_orders, default=20_000, metavar="N", help="of all twelve weeks (%(default)s)")
    month.add_argument("--seed", type=int, default=5, metavar="N", help="decides all that is chance (%(default)s)")
    month.add_argument("--json", type=Path, metavar="FILE", help="write table, assumptions and books")
    month.add_argument(
        "--set", type=_assumption, action="append", default=[], metavar="NAME=VALUE", help="assume something else"
    )
    month.add_argument(
        "--broker", choices=[brand.value for brand in Brand], default=Brand.MOSQUITTO.value, help="(%(default)s)"
    )
    month.add_argument(
        "--dir", type=Path, metavar="DIR", help="an empty or new folder for stores and logs (a temporary one)"
    )
    month.add_argument("--keep", action="store_true", help="keep the temporary folder although the books balance")


def month(options: argparse.Namespace, say: Say) -> int:
    """The exit status. Raises what ``run`` raises."""
    directory: Path = options.dir or Path(tempfile.mkdtemp(prefix="codepool-month-"))
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty: name a new folder, the books of two plays do not mix")
    play = Play(
        seed=options.seed,
        orders=options.orders,
        began=dt.datetime.combine(_BEGAN, dt.time(), tzinfo=ZONE),
        parameters=Parameters(**dict(options.set)),
    )
    is_done_with = False
    try:
        report = asyncio.run(run(play, directory.absolute(), Brand(options.broker), Progress(play.orders, say)))
        if options.json is not None:
            options.json.write_bytes(as_json(report))
        say(_told(report))
        is_done_with = report.is_balanced
    except (KeyboardInterrupt, asyncio.CancelledError):
        is_done_with = True
        raise
    finally:
        if is_done_with and options.dir is None and not options.keep:
            shutil.rmtree(directory)
        else:
            say(f"files kept in {directory}")
    return BALANCED if report.is_balanced else UNBALANCED


class Progress:
    """A bar on a terminal; elsewhere a line now and then."""

    def __init__(self, orders: int, say: Say) -> None:
        self._orders = orders
        self._say = say
        self._number = 0
        self._began = self._last = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, number: int, us: int) -> None:
        """``number``: of the order that something is done for; some wait while later ones are filled."""
        number = self._number = max(number, self._number)
        now = time.monotonic()
        if now - self._last < (0.2 if self._is_terminal else _PIPED_EVERY_S):
            return
        self._last = now
        left_s = (now - self._began) / max(1, number) * (self._orders - number)
        week = min(us // (7 * DAY_US), LENGTH // 7 - 1) + 1
        left = f"{left_s / 60:.0f} min left at this pace"  # the later periods are slower, for more is scanned in them
        text = f"week {week:2} of {LENGTH // 7}  order {number} of {self._orders}  {left}"
        if self._is_terminal:
            done = _WIDTH * number // self._orders
            print(f"\r[{'#' * done}{'.' * (_WIDTH - done)}] {text} ", end="", file=sys.stderr, flush=True)  # noqa: T201 - a bar
        else:
            self._say(text)


def _told(report: Report) -> str:
    books = report.books
    counts = [
        ("orders", books.orders_by_state),
        ("insurer rows", books.sales_by_state),
        ("work list", books.exceptions),
    ]
    lines = [shown(report.table), "", "books"]
    lines += [f"  {books.facts_journalled} facts in journals, {books.facts_in_ledger} of them in the ledger"]
    lines += [f"  {name}: " + (", ".join(f"{n} {key}" for key, n in found.items()) or "none") for name, found in counts]
    lines += [f"  ✗ {text}" for text in books.problems[:20]]
    lines += [f"  played in {report.played_s:.0f} s, audited in {report.audited_s:.0f} s; most memory (MB): "
              + ", ".join(f"{name} {mb:.0f}" for name, mb in report.peak_mb.items())]  # fmt: skip
    return "\n".join([*lines, "books balance" if report.is_balanced else "BOOKS DO NOT BALANCE"])


def _parameters() -> str:
    return "\n".join(f"  {one.name:<18} {one.value:>6g} {one.unit:<7} {one.about}" for one in told(Parameters()))


def _orders(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_ORDERS):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1 to {_MOST_ORDERS}")
    return int(text)


def _assumption(text: str) -> tuple[str, float]:
    name, mark, value = text.partition("=")
    known = {one.name: one for one in told(Parameters())}
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not mark or name not in known or number < 0 or (known[name].unit == "chance" and number > 1):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected NAME=VALUE, NAME one of {', '.join(known)}, a chance from 0 to 1"
        )
    return name, number
