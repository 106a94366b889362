"""What every handler of the local pages works with: languages, visits, the parts of the agent."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import BodyPartReader, web

from edge_agent.errors import StoreError
from edge_agent.health import Health, HealthReport
from edge_agent.people import People
from edge_agent.screens.language import DEFAULT, LANGUAGES, Language
from edge_agent.screens.visits import COOKIE, Seat, Visit, Visits
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.cabinet import Cabinet
from edge_agent.workflows.packaging import Packaging
from edge_agent.workflows.station import Station
from sync_protocol.documents import Person

LANGUAGE_COOKIE = "codepool_lang"
LANGUAGE_KEPT_S = 365 * 86_400
TEXT_AT_MOST = 2_048
_CHUNK = 65_536
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, str]).decode


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the screens show and act on."""

    bench: Bench
    people: People
    health: Health
    work: Station | Cabinet | Packaging
    language: str = DEFAULT
    new_key: Callable[[], str]
    """A fresh random name for a browser, at least 128 bits."""


class Site:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.languages = {code: Language(code) for code in LANGUAGES}
        self.station = parts.work if isinstance(parts.work, Station) else None
        self.visits = Visits(
            station=self.station,
            notifier=parts.bench.notifier,
            new_key=parts.new_key,
            now_us=lambda: parts.bench.recorder.moment().mono_us,
        )

    def language(self, request: web.Request) -> Language:
        asked = request.query.get("lang") or request.cookies.get(LANGUAGE_COOKIE) or self.parts.language
        return self.languages.get(asked) or self.languages[DEFAULT]

    def visit(self, request: web.Request) -> Visit | None:
        return self.visits.find(request.cookies.get(COOKIE, ""))

    def person(self, request: web.Request) -> Person | None:
        return self.visits.person(self.visit(request))

    def report(self) -> HealthReport | None:
        """None while the journal cannot even be read."""
        try:
            return self.parts.health.snapshot()
        except StoreError:
            return None

    def page(self, request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """An answer for people."""
        visit = self.visit(request)
        html = self.language(request).render(
            template,
            person=self.visits.person(visit),
            seat=visit.seat if visit else Seat.SCREEN,
            report=self.report(),
            zone_min=self.parts.bench.recorder.moment().zone_min,
            device=self.parts.bench.recorder.device,
            location=self.parts.bench.location,
            path=request.path,
            **values,
        )
        response = web.Response(text=html, content_type="text/html", status=status)
        if request.query.get("lang") in LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, request.query["lang"], max_age=LANGUAGE_KEPT_S, samesite="Strict")
        return response


SITE: web.AppKey[Site] = web.AppKey("site", Site)


def wants_json(request: web.Request) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def as_text(body: Any) -> str:
    return _encode(body).decode()


def as_json(body: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=_encode(body), content_type="application/json", status=status)


async def fields(request: web.Request) -> Mapping[str, str]:
    """The fields of a form or of a JSON object of texts. Raises HTTPBadRequest."""
    if request.content_type == "application/json":
        try:
            values = _decode(await request.read())
        except msgspec.MsgspecError as error:
            raise web.HTTPBadRequest(text=f"body: {error}; expected a JSON object whose values are texts\n") from error
    else:
        values = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    for name, value in values.items():
        if len(value) > TEXT_AT_MOST:
            raise web.HTTPBadRequest(text=f"{name}: found {len(value)} characters, expected at most {TEXT_AT_MOST}\n")
    return values


async def uploaded(request: web.Request, name: str, *, most: int) -> bytes:
    """The file in a field of a form, cut off behind ``most`` bytes and one. Raises HTTPBadRequest."""
    if not request.content_type.startswith("multipart/"):
        raise web.HTTPBadRequest(text=f"body: found {request.content_type}, expected multipart/form-data\n")
    content = bytearray()
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader) and part.name == name:
            while len(content) <= most and (chunk := await part.read_chunk(_CHUNK)):
                content += chunk
            break
    if not content:
        raise web.HTTPBadRequest(text=f"{name}: found nothing, expected a file\n")
    return bytes(content[: most + 1])


def needed(values: Mapping[str, str], name: str) -> str:
    """The value of a field that must be there. Raises HTTPBadRequest."""
    if not values.get(name):
        raise web.HTTPBadRequest(text=f"{name}: found nothing, expected a value; add it to the form or JSON object\n")
    return values[name]


def refreshed(request: web.Request, *, to: str = "/") -> web.Response:
    """Have the browser load the page anew."""
    if "HX-Request" in request.headers:
        return web.Response(headers={"HX-Redirect": to})
    return web.Response(status=303, headers={"Location": to})
