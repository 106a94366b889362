"""``codepool-central``: run the hospital's ledger, check its configuration, back it up, restore and verify it."""

import argparse
import asyncio
import base64
import pathlib
import sys
from collections.abc import Sequence

from central import app, backup, config, logs
from central.clock import SystemClock
from central.errors import Exit, StartError
from central.ledger import store
from central.played_time import clock_of
from central.progress import Bar
from central.stock.recall_key import open_key
from sync_protocol import garbage
from sync_protocol.envelope import fingerprint

_STATUSES = """exit statuses:
  0   ended as asked
  65  the ledger or the backup is not whole: restore a backup; it is never replaced by an empty one
  66  the configuration cannot be read
  69  the port is in use
  73  a restore would overwrite a ledger: say --replace
  74  the disk is full or fails, or the data folder cannot be written
  75  another codepool-central holds the data folder
  76  the ledger was written by a newer version
  78  the configuration says something that cannot be
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return _run_command(options)
    except StartError as error:
        print(f"codepool-central: {error}", file=sys.stderr)  # noqa: T201 -- for the person who started it
        return error.exit_status


def _run_command(options: argparse.Namespace) -> int:
    """Raises StartError."""
    match options.command:
        case "check-config":
            _say(app.check(config.load(options.config)))
        case "migrate":
            _migrate(config.load(options.config))
        case "recall-key":
            _say(open_key(config.load(options.config).data).text)
        case "key":
            public = app.open_secret(config.load(options.config).data).public
            _say(f"{base64.b64encode(public).decode()}  {fingerprint(public)}")
        case "backup":
            _backup(_folder(options), options.to)
        case "restore":
            _restore(_folder(options), options.source, replace=options.replace)
        case "verify":
            return _verify(_folder(options))
        case "run":
            settings = config.load(options.config)
            logs.set_up()
            _run(settings, options.played_time)
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
        (
            "key",
            "show central's public key, for [central] keys of every agent, and its fingerprint",
        ),
        ("recall-key", "show the public recall key, for [central] recall_keys of every agent; make the key if need be"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--config", type=pathlib.Path, required=True, metavar="FILE", help="TOML file")
        if name == "run":
            command.add_argument(
                "--played-time",
                type=pathlib.Path,
                metavar="FILE",
                help="for simulations only: the file says what time it is",
            )
    save = _on_folder(commands, "backup", "copy the ledger while central works, and verify the copy")
    save.add_argument("--to", type=pathlib.Path, required=True, metavar="DIR", help="folder, best of another machine")
    back = _on_folder(commands, "restore", "put a backup in the ledger's place; agents give back what it lacks")
    back.add_argument("--from", dest="source", type=pathlib.Path, required=True, metavar="FILE", help="the backup")
    back.add_argument("--replace", action="store_true", help="a ledger that is there is kept aside")
    _on_folder(commands, "verify", "derive every state again from the facts, check every chain, seal and daily head")
    return parser


def _on_folder(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text)
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--config", type=pathlib.Path, metavar="FILE", help="TOML file of central")
    where.add_argument("--data", type=pathlib.Path, metavar="DIR", help="data folder of central")
    return command


def _folder(options: argparse.Namespace) -> pathlib.Path:
    folder: pathlib.Path = options.data or config.load(options.config).data
    return folder


def _say(text: str) -> None:
    print(text)  # noqa: T201 -- the answer of a command


def _backup(folder: pathlib.Path, to: pathlib.Path) -> None:
    bars = backup.Bars(copying=Bar("copying  "), verifying=Bar("verifying"))
    made = backup.backup(folder, to, now_us=SystemClock().wall_us(), bars=bars)
    _say(f"{to / made.file}: verified; {made.facts} facts, version {made.version}, {made.bytes} bytes")


def _restore(folder: pathlib.Path, source: pathlib.Path, *, replace: bool) -> None:
    bars = backup.Bars(copying=Bar("copying  "), verifying=Bar("verifying"))
    report = backup.restore(folder, source, replace=replace, now_us=SystemClock().wall_us(), bars=bars)
    _say(f"{folder}: restored; {report}\nStart central: every agent gives back what this backup lacks, by itself.")


def _verify(folder: pathlib.Path) -> int:
    report = backup.check(folder / store.FILE, folder, Bar("verifying"))
    _say(f"{folder / store.FILE}: {report}")
    return Exit.OK if report.is_whole else Exit.LEDGER_CORRUPT


def _migrate(settings: config.Config) -> None:
    lock = store.hold(settings.data)
    try:
        path = store.prepare(settings.data, now_us=SystemClock().wall_us())
    finally:
        lock.close()
    _say(f"{path}: whole, and at the schema of this version")


def _run(settings: config.Config, played: pathlib.Path | None) -> None:
    """Raises StartError; out of a task group the one that ended it."""
    garbage.seldom()
    try:
        asyncio.run(app.run(settings, clock=clock_of(settings.data, played)))
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
