"""One request of a person at a page: who asks, in which language, and what every template needs."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from central.api.decode import decode_query
from central.auth import Session
from central.console import flaws, words
from central.console.language import NAMES, Language
from central.stock.services import Services
from sync_protocol.documents import Product

_Q = TypeVar("_Q", bound=msgspec.Struct)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
LANGUAGE = "lang"


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler wants shown."""

    template: str
    values: Mapping[str, Any]
    status: int = 200


class Visit:
    def __init__(self, request: web.Request, services: Services, language: Language, session: Session | None) -> None:
        self.request = request
        self.services = services
        self.language = language
        self.session = session

    @property
    def actor(self) -> str:
        """The id of the person who acts; of a page that only people who are signed in get to."""
        assert self.session is not None, "only people who are signed in act"
        return self.session.person

    def query(self, kind: type[_Q]) -> _Q:
        """The filters of the URL; an empty one is none. Raises MalformedError."""
        given = [(name, value) for name, value in self.request.query.items() if value and name != LANGUAGE]
        return decode_query(given, kind)

    def render(self, view: View) -> web.Response:
        template = self.language.templates.get_template(view.template)
        text = template.render(self._common() | dict(view.values))
        return web.Response(status=view.status, text=text, content_type="text/html")

    def link(self, path: str | None = None, /, **changes: object) -> str:
        """This page with other filters; ``path``: another page with only these. Always of this site."""
        kept = {} if path else {name: value for name, value in self.request.query.items() if name != LANGUAGE}
        merged = {name: str(value) for name, value in (kept | changes).items() if value not in {None, ""}}
        query = urlencode(merged)
        return (path or self.request.path) + (f"?{query}" if query else "")

    def local(self, us: int) -> str:
        """Civil time of the hospital, with the year where it is not this one."""
        if not us:
            return ""
        when, now = self.services.time.local(us), self.services.time.local(self.services.time.now_us())
        return when.strftime("%m-%d %H:%M:%S" if when.year == now.year else "%Y-%m-%d %H:%M:%S")

    def minute(self, us: int) -> str:
        """The same for paper: to the minute, always with the year."""
        return f"{self.services.time.local(us):%Y-%m-%d %H:%M}"

    def stamp(self, us: int) -> str:
        """The same for a file: always with the year."""
        return f"{self.services.time.local(us):%Y-%m-%d %H:%M:%S}" if us else ""

    def span(self, seconds: float) -> str:
        """A length of time in the largest unit that it fills."""
        whole = max(0, int(seconds))
        if whole < _MINUTE:
            return self.language.count("%(n)d s", "%(n)d s", whole)
        if whole < _HOUR:
            return self.language.count("%(n)d min", "%(n)d min", whole // _MINUTE)
        if whole < _DAY:
            return self.language.count("%(n)d h", "%(n)d h", whole // _HOUR)
        return self.language.count("%(n)d day", "%(n)d days", whole // _DAY)

    def ago(self, us: int) -> str:
        if not us:
            return self.language.say("never")
        gone = self.span((self.services.time.now_us() - us) / 1_000_000)
        return self.language.say("%(span)s ago", span=gone)

    def word(self, table: str, value: str) -> str:
        """What a value is called; the value itself where it has no name."""
        name = words.EVERY[table].get(value)
        return self.language.say(name) if name else value

    def named(self, table: str, values: Iterable[str]) -> list[tuple[str, str]]:
        """Choices of a list: each value with its name. Without a table they are their own names."""
        return [(str(value), self.word(table, value) if table else str(value)) for value in values]

    def product_names(self, products: Mapping[str, Product]) -> list[tuple[str, str]]:
        return [(key, self.full(products, key)) for key in products]

    def full(self, products: Mapping[str, Product], key: str) -> str:
        """Name and spec of a product in the language of the page; its id where the catalogue has none."""
        entry = products.get(key)
        if entry is None:
            return key
        name = (self.language.code == "en" and entry.name_en) or entry.name
        return f"{name} {entry.spec}".strip()

    def terms(self, text: str) -> str:
        """What a refusal found or expected, in words: a phrase, or states and kinds in a list."""
        phrase = words.PHRASES.get(text)
        if phrase:
            return self.language.say(phrase)
        parts = [self._counted(part) or self._term(part) for part in text.split(", ")]
        return self.language.say(", ").join(parts)

    def _counted(self, text: str) -> str:
        """A count with its name, where the name is known; empty otherwise."""
        name, _, count = text.rpartition(": ")
        return (
            self.language.say("%(name)s: %(n)s", name=self.language.say(name), n=count) if name in words.COUNTS else ""
        )

    def why(self, reason: str) -> str:
        """The reason of a fact; of an allocation its rule and lots (sync_protocol.allocation), else as it was said."""
        if reason in words.WHYS:
            return self.word("why", reason)
        rule, mark, rest = reason.partition(": ")
        if not mark or rule not in words.RULES:
            return reason
        return f"{self.word('rule', rule)} ({rest.partition(';')[0]})"

    def heads(self, names: Iterable[str]) -> tuple[str, ...]:
        """Heads of the columns of a file."""
        return tuple(self.language.say(name) for name in names)

    def known(self, text: str) -> str:
        """What was found or expected, or an advice, in the language of the page, where the catalogue has it."""
        if text not in flaws.FLAWS and (found := flaws.pattern_of(text)):
            pattern, holes = found
            return self.language.say(pattern, **{name: self.terms(value) for name, value in holes.items()})
        said = self.language.say(text)
        return self.terms(text) if said == text else said

    def _term(self, value: str) -> str:
        table = next((name for name in ("state", "kind") if value in words.EVERY[name]), "")
        return self.word(table, value) if table else value

    def days_left(self, expiry: dt.date) -> int:
        return (expiry - self.services.time.today()).days

    def _common(self) -> dict[str, Any]:
        return {
            "visit": self,
            "session": self.session,
            "language": self.language.code,
            "languages": NAMES,
            "path": self.request.path,
            "here": self.link(),
            "tick": self.services.changes.tick,
            "version": self.services.changes.version,
            "link": self.link,
            "local": self.local,
            "ago": self.ago,
            "span": self.span,
            "word": self.word,
            "days_left": self.days_left,
            "named": self.named,
            "product_names": self.product_names,
            "full": self.full,
            "terms": self.terms,
            "known": self.known,
            "why": self.why,
        }
