"""How codes, times and findings are written on a screen."""

import datetime as dt
from collections.abc import Mapping
from typing import Protocol

from edge_agent.screens import words
from edge_agent.screens.wording import About
from sync_protocol.documents import Product

_TRACE_LENGTH = 20
_EPC_LENGTH = 24


class Speaker(Protocol):
    def word(self, value: str) -> str: ...
    def product(self, product: Product) -> str: ...


def grouped(code: str) -> str:
    """A code in groups that an eye can compare: trace codes and tags in fours, the rest as it is."""
    stem, mark, unit = code.partition("#")
    if (len(stem) == _TRACE_LENGTH and stem.isdigit()) or (len(stem) == _EPC_LENGTH and stem.isalnum()):
        stem = " ".join(stem[start : start + 4] for start in range(0, len(stem), 4))
    return f"{stem} {mark}{unit}" if mark else stem


def clock(at_us: int, zone_min: int) -> str:
    """Time of day in the hospital."""
    moment = dt.datetime.fromtimestamp(at_us / 1e6, dt.timezone(dt.timedelta(minutes=zone_min)))
    return moment.strftime("%H:%M:%S")


def found(text: str, about: str, products: Mapping[str, Product], speaker: Speaker) -> str:
    """What a refusal found or expected, as people say it; empty where it is only of use to the code behind it."""
    match about:
        case About.PRODUCT:
            return speaker.product(products[text]) if text in products else text
        case About.STATE | About.KIND:
            names = [name for name in text.replace(" or ", ", ").split(", ") if name in words.WORDS]
            return " / ".join(speaker.word(name) for name in names)
        case About.CODES:
            return ", ".join(grouped(code) for code in text.split(", "))
        case About.EXPIRY:
            return text if text[:1].isdigit() else ""
        case About.RECALL:  # found is "id: reason"; what was expected goes without saying
            return text if ": " in text else ""
        case About.PLAIN:
            return text
        case _:
            return ""
