"""``codepool-central``: run the hospital's ledger, check its configuration, migrate its database."""

import argparse
import asyncio
import pathlib
import sys
from collections.abc import Sequence

from central import app, config, logs
from central.clock import SystemClock
from central.errors import Exit, StartError
from central.ledger import store
from central.stock.recall_key import open_key

_STATUSES = """exit statuses:
  0   ended as asked
  65  the ledger is damaged: restore a backup; it is never replaced by an empty one
  66  the configuration cannot be read
  69  the port is in use
  74  the disk is full or fails, or the data folder cannot be written
  75  another codepool-central holds the data folder
  76  the ledger was written by a newer version
  78  the configuration says something that cannot be
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = config.load(options.config)
        if options.command == "check-config":
            print(app.check(settings))  # noqa: T201 -- the answer of a command
        elif options.command == "migrate":
            _migrate(settings)
        elif options.command == "recall-key":
            print(open_key(settings.data).text)  # noqa: T201 -- the answer of a command
        else:
            logs.set_up()
            _run(settings)
    except StartError as error:
        print(f"codepool-central: {error}", file=sys.stderr)  # noqa: T201 -- for the person who started it
        return error.exit_status
    return Exit.OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="codepool-central",
        description="The hospital's ledger: facts from the agents, orders, notes, insurer, console.",
        epilog=_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "serve until SIGTERM"),
        ("check-config", "say what the configuration means, or every mistake in it"),
        ("migrate", "bring the ledger to this version and stop"),
        ("recall-key", "show the public recall key, for [central] recall_keys of every agent; make the key if need be"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", type=pathlib.Path, required=True, metavar="FILE", help="TOML file")
    return parser


def _migrate(settings: config.Config) -> None:
    lock = store.hold(settings.data)
    try:
        path = store.prepare(settings.data, now_us=SystemClock().wall_us())
    finally:
        lock.close()
    print(f"{path}: whole, and at the schema of this version")  # noqa: T201 -- the answer of a command


def _run(settings: config.Config) -> None:
    """Raises StartError; out of a task group the one that ended it."""
    try:
        asyncio.run(app.run(settings))
    except* StartError as errors:
        raise _first(errors) from errors


def _first(errors: BaseExceptionGroup[StartError]) -> StartError:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, StartError), "except* has let nothing else through"
    return found


if __name__ == "__main__":
    sys.exit(main())
