"""A place of the house as the ledger has it."""

from collections.abc import Iterable
from enum import IntEnum

import msgspec


class Level(IntEnum):
    STORE = 1
    PHARMACY = 2
    BIN = 3


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where stock lies. ``id``: the location of its agents and items; ``parent``: whom it asks for what it needs."""

    id: str
    name: str
    name_en: str = ""
    level: Level
    parent: str = ""


def place_of(row: Iterable[object]) -> Place:
    """The place of a row of its table."""
    return msgspec.convert(dict(zip(Place.__struct_fields__, row, strict=True)), Place)
