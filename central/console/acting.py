"""What pages share where a person changes something: the fields of the form, the second person, what is wrong."""

from collections.abc import Mapping
from typing import Any

from multidict import MultiMapping

from central.console import words
from central.console.pins import Doubt, Pins
from central.console.visit import Visit
from central.errors import RequestError

Form = MultiMapping[Any]
LONGEST = 128
UNSIGNED: Mapping[str, str] = {"witness": ""}
"""The form of a page that nothing was sent to yet."""


def asked(form: Form, name: str, longest: int = LONGEST) -> str:
    """The text of a field, cut to what it may hold."""
    return str(form.get(name, "")).strip()[:longest]


def whole(text: str, digits: int) -> int | None:
    """The whole number that a text of so many digits at most is; None: it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None


async def second_person(visit: Visit, form: Form, pins: Pins) -> str | Doubt:
    """The id of the person who signs besides, by the fields ``witness`` and ``pin``."""
    witness = asked(form, "witness")
    name = await pins.name_of(visit, witness, str(form.get("pin", ""))[:LONGEST])
    return name if isinstance(name, Doubt) else witness


def told(visit: Visit, error: RequestError) -> str:
    """What is wrong with a request, in one sentence of the page's language."""
    say = visit.language.say
    name = words.FIELDS.get(error.field.partition("[")[0])
    found, expected = say("found %(found)s", found=visit.known(error.found)), visit.known(error.expected)
    sentence = f"{say(name) if name else error.field}: {found} · {say('expected %(expected)s', expected=expected)}"
    return f"{sentence} · {visit.known(error.advice)}" if error.advice else sentence
