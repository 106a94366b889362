"""From untrusted JSON and query text to a Struct, naming every mistake and not only the first."""

import datetime as dt
from collections.abc import Iterable, Iterator
from enum import Enum
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

MAX_MISTAKES = 50
_SHOWN = 80
_T = TypeVar("_T", bound=msgspec.Struct)


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: where, what stands there, what should, what to do."""

    field: str
    found: str
    expected: str
    advice: str = ""


class MalformedError(Exception):
    """Input that is not what the route reads. The caller must change it."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("; ".join(f"{m.field}: found {m.found}, expected {m.expected}" for m in mistakes))
        self.mistakes = mistakes


def decode_body(body: bytes, kind: type[_T]) -> _T:
    """Raises MalformedError with all mistakes, at most 50."""
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        shown = _shown_text(body[:_SHOWN].decode("utf-8", "replace")) or "nothing"
        advice = f"the body cannot be read: {error}"
        raise MalformedError((Mistake(field="$", found=shown, expected="one JSON object", advice=advice),)) from error
    return _convert(raw, kind, is_text=False)


def decode_query(query: Iterable[tuple[str, str]], kind: type[_T]) -> _T:
    """Raises MalformedError with all mistakes. Text is read as the type of its field; a name may stand once."""
    pairs = list(query)
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MalformedError(
            tuple(Mistake(field=name, found="given twice", expected="given once", advice="keep one") for name in twice),
        )
    # A query string has no null; text that says so would else be read as "any".
    hints = get_type_hints(kind)
    nulls = [(name, text) for name, text in pairs if text.lower() == "null" and NoneType in get_args(hints.get(name))]
    if nulls:
        raise MalformedError(
            tuple(Mistake(field=name, found=text, expected="a value", advice="leave it out") for name, text in nulls)
        )
    return _convert(dict(pairs), kind, is_text=True)


def _convert(raw: Any, kind: type[_T], *, is_text: bool) -> _T:
    try:
        return msgspec.convert(raw, kind, strict=not is_text)
    except msgspec.ValidationError as error:
        mistakes = []
        for mistake in _walk(raw, kind, "", is_text=is_text):
            mistakes.append(mistake)
            if len(mistakes) == MAX_MISTAKES:
                break
        raise MalformedError(tuple(mistakes)) from error


def _walk(raw: Any, kind: Any, path: str, *, is_text: bool) -> Iterator[Mistake]:
    """The innermost mistakes of a value that does not convert; nothing for one that does."""
    try:
        msgspec.convert(raw, kind, strict=not is_text)
    except msgspec.ValidationError as error:
        inner = list(_inside(raw, kind, path, is_text=is_text))
        yield from inner or [_leaf(raw, kind, path, str(error))]


def _inside(raw: Any, kind: Any, path: str, *, is_text: bool) -> Iterator[Mistake]:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(raw, dict):
        yield from _inside_struct(raw, kind, path, is_text=is_text)
    elif get_origin(kind) in {tuple, list} and isinstance(raw, list):
        for index, element in enumerate(raw):
            yield from _walk(element, get_args(kind)[0], f"{path}[{index}]", is_text=is_text)


def _inside_struct(raw: dict[str, Any], kind: type[msgspec.Struct], path: str, *, is_text: bool) -> Iterator[Mistake]:
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, field in fields.items():
        where = f"{path}.{name}" if path else name
        if name in raw:
            yield from _walk(raw[name], hints[field.name], where, is_text=is_text)
        elif field.required:
            yield Mistake(field=where, found="nothing", expected="a value", advice="the field is required")
    for name in raw:
        if name not in fields:
            where = _shown_text(f"{path}.{name}" if path else str(name))
            known = ", ".join(sorted(fields))
            yield Mistake(
                field=where, found="an unknown field", expected=f"one of {known}", advice="remove or rename it"
            )


def _leaf(raw: Any, kind: Any, path: str, message: str) -> Mistake:
    expected, advice = _expectation(kind, message)
    return Mistake(field=path or "$", found=_shown(raw), expected=expected, advice=advice)


def _expectation(kind: Any, message: str) -> tuple[str, str]:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    choices = {kind, *get_args(kind)}
    for choice in choices:
        if isinstance(choice, type) and issubclass(choice, Enum):
            return "one of " + ", ".join(str(member.value) for member in choice), "use one of these words"
    if dt.date in choices and message.startswith("Invalid"):
        return "a date as 2026-12-31", "write year, month and day"
    expected = message.removeprefix("Expected ").partition(", got")[0].partition(" - at ")[0].replace("`", "")
    return expected, "see /api/v1/openapi.json for what the field holds"


def _shown(raw: Any) -> str:
    if isinstance(raw, dict):
        return "an object"
    if isinstance(raw, list):
        return f"an array of {len(raw)}"
    return _shown_text(msgspec.json.encode(raw).decode())


def _shown_text(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
