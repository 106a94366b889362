"""Reads one table of a configuration into a struct, field by field, so that every mistake in it is named."""

import difflib
import typing
from collections.abc import Mapping

import msgspec

from edge_agent.errors import Mistake

_S = typing.TypeVar("_S", bound=msgspec.Struct)
_LONGEST = 60


def read_section(name: str, table: object, shape: type[_S], mistakes: list[Mistake]) -> _S | None:
    """The struct, or None with what is wrong added to ``mistakes``."""
    if not isinstance(table, Mapping):
        example = "\n".join(f"    {_example(field)}" for field in msgspec.structs.fields(shape) if field.required)
        found = "nothing" if table is None else said(table)
        mistakes.append(Mistake(field=name, found=found, expected="a table", advice=f"write\n    [{name}]\n{example}"))
        return None
    fields = {field.name: field for field in msgspec.structs.fields(shape)}
    before = len(mistakes)
    mistakes += [unknown(f"{name}.{key}", key, fields) for key in table if key not in fields]
    values: dict[str, typing.Any] = {}
    for field in fields.values():
        if field.name in table:
            values[field.name] = _value(name, field, table[field.name], mistakes)
        elif field.required:
            mistakes.append(_mistake(name, field, "nothing"))
    return shape(**values) if len(mistakes) == before else None


def unknown(place: str, key: str, known: typing.Iterable[str]) -> Mistake:
    nearest = difflib.get_close_matches(key, list(known), n=1)
    advice = f"did you mean {nearest[0]!r}?" if nearest else "remove it"
    return Mistake(field=place, found="an unknown name", expected=" or ".join(known), advice=advice)


def said(value: object) -> str:
    """A value of the file for a message: short, and one line."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _value(name: str, field: msgspec.structs.FieldInfo, value: object, mistakes: list[Mistake]) -> object:
    try:
        return msgspec.convert(value, field.type)
    except msgspec.ValidationError:
        mistakes.append(_mistake(name, field, said(value)))
        return None


def _mistake(name: str, field: msgspec.structs.FieldInfo, found: str) -> Mistake:
    expected = next((meta.description for meta in _metas(field.type) if meta.description), "a text")
    return Mistake(
        field=f"{name}.{field.name}", found=found, expected=expected, advice=f"write for example {_example(field)}"
    )


def _example(field: msgspec.structs.FieldInfo) -> str:
    examples = next((meta.examples for meta in _metas(field.type) if meta.examples), [""])
    return f"{field.name} = {msgspec.json.encode(examples[0]).decode()}"


def _metas(kind: object) -> list[msgspec.Meta]:
    """What stands closest to the field comes first: it says most."""
    return [meta for meta in reversed(getattr(kind, "__metadata__", ())) if isinstance(meta, msgspec.Meta)]
