"""How a sentence is made: its words and what its "found" and "expected" are about."""

from enum import StrEnum

import msgspec


def mark(text: str) -> str:
    """Mark a text for the catalogue; it is translated where it is shown."""
    return text


def mark_count(one: str, many: str) -> tuple[str, str]:
    """Mark a counted text, as ``mark``."""
    return one, many


class About(StrEnum):
    """What found and expected of a refusal are, and so how they are shown."""

    NOTHING = "nothing"
    PLAIN = "plain"
    PRODUCT = "product"
    STATE = "state"
    KIND = "kind"
    EXPIRY = "expiry"
    CODES = "codes"
    RECALL = "recall"


class Say(msgspec.Struct, frozen=True):
    title: str
    advice: str
    about: About = About.NOTHING
