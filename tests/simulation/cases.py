"""Runs that once failed, as the few decisions that matter. They are run again by a test, for ever.

Seeds alone would rot: another draw anywhere makes another run of them.
"""

from pathlib import Path

import msgspec

from tests.simulation.plan import Plan

FOLDER = Path(__file__).with_name("corpus")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """``rule`` broke, with ``mutant`` if it names one, else because of ``cause``, which has been put right."""

    rule: str
    detail: str
    cause: str = ""
    mutant: str = ""
    store: str = "dict"
    plan: Plan


def load() -> dict[str, Case]:
    return {path.stem: msgspec.json.decode(path.read_bytes(), type=Case) for path in sorted(FOLDER.glob("*.json"))}


def save(name: str, case: Case) -> Path:
    path = FOLDER / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(case), indent=1) + b"\n")
    return path
