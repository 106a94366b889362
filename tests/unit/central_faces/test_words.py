"""The words of the console: each value of the ledger has a name, each message a Chinese one, no catalogue is stale."""

import ast
import io
import pathlib
import re
from collections.abc import Iterator

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

import central.console
from central.console import words
from central.console.flaws import FLAWS, pattern_of
from central.console.language import languages
from central.ledger.read_console import INSURER_STATES
from sync_protocol.allocation import Rule
from sync_protocol.documents import OrderKind, OrderState
from sync_protocol.facts import How, What
from sync_protocol.items import Kind, State
from sync_protocol.lifecycle import Reason

CONSOLE = pathlib.Path(central.console.__file__).parent
CENTRAL = CONSOLE.parent
CATALOGUE = CONSOLE / "locales" / "zh_CN" / "LC_MESSAGES" / "central.po"
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "message": None, "say": None, "count": (1, 2)}
METHODS = [("templates/**.html", "jinja2"), ("**.py", "python")]
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]")


def catalogue() -> Catalog:
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="zh_CN")


def spoken() -> set[str]:
    """The message ids of pages and code; of a plural the singular."""
    options = {"templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}}
    found = extract_from_dir(CONSOLE, METHODS, options, KEYWORDS)
    return {text[0] if isinstance(text, tuple) else text for _, _, text, _, _ in found}


def entries() -> list[Message]:
    return [entry for entry in catalogue() if entry.id]


def first(entry: Message) -> str:
    return entry.id if isinstance(entry.id, str) else entry.id[0]


def texts_of(entry: Message) -> list[str]:
    """The translation; of a plural all of them."""
    return [entry.string] if isinstance(entry.string, str) else list(entry.string or ("",))


def said() -> Iterator[ast.expr]:
    """What errors of services say is found, expected and advised."""
    kinds = {"InvalidError", "ConflictError", "NotFoundError", "ForbiddenError"}
    for path in CENTRAL.rglob("*.py"):
        if {"api", "fhir"}.isdisjoint(path.parts):  # these speak to programs only
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
                    yield from node.args[1:]


def filled(text: ast.JoinedStr) -> str:
    """An f-string with a number in each of its holes."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in text.values)


def test_what_services_say_is_known_to_the_pages() -> None:
    plain = {str(text.value) for text in said() if isinstance(text, ast.Constant)}
    assert "a person of this hospital who may sign in" in plain, "no error was found: the look at the code is wrong"
    assert plain - spoken() == set()
    assert plain - set(FLAWS) - {text for text in plain if pattern_of(text)} == set()


def test_what_services_say_with_values_in_it_follows_a_pattern() -> None:
    built = {filled(text) for text in said() if isinstance(text, ast.JoinedStr)}
    assert "7 codes" in built
    in_words = {text for text in built if re.search("[a-z]", text)}
    known = {text for text in in_words if pattern_of(text) or text in FLAWS}
    assert in_words - known == set()


def test_no_message_is_untranslated_and_none_is_left_over() -> None:
    assert {first(entry) for entry in entries()} == spoken()
    for entry in entries():
        assert all(texts_of(entry)), entry.id
        assert not entry.fuzzy, entry.id


def test_translations_keep_the_placeholders() -> None:
    for entry in entries():
        ids = [entry.id] if isinstance(entry.id, str) else list(entry.id)
        wanted = {mark for text in ids for mark in PLACEHOLDER.findall(text)}
        assert all(set(PLACEHOLDER.findall(text)) == wanted for text in texts_of(entry)), entry.id


def test_the_compiled_catalogue_is_that_of_the_text() -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue())
    assert CATALOGUE.with_suffix(".mo").read_bytes() == compiled.getvalue()


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (words.STATES, State),
        (words.KINDS, Kind),
        (words.FACTS, What),
        (words.HOWS, How),
        (words.REASONS, Reason),
        (words.ADVICE, Reason),
        (words.RULES, Rule),
        (words.ORDER_KINDS, OrderKind),
        (words.ORDER_STATES, OrderState),
        (words.INSURER_STATES, INSURER_STATES),
    ],
)
def test_every_value_has_a_name(table: dict[str, str], values: list[str]) -> None:
    assert set(values) <= set(table)
    chinese = languages()["zh-CN"]
    assert all(re.search(r"[一-鿿]", chinese.say(table[value])) for value in values)


def test_vendored_scripts_are_named_with_version_and_licence() -> None:
    vendor = CONSOLE / "static" / "vendor"
    text = (vendor / "VENDORED.txt").read_text()
    for script in vendor.glob("*.js"):
        assert re.search(rf"^{re.escape(script.name)} .*\d+\.\d+\.\d+ .*0BSD", text, re.MULTILINE), script.name
