"""The console on aiohttp: pages for people who are signed in, sign-in itself, live news, static files."""

import pathlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlencode

from aiohttp import web

from central.api.decode import MalformedError, Mistake
from central.api.problems import status_of
from central.auth import COOKIE, SESSION_IDLE_S, Session, Sessions
from central.console import (
    base_stock,
    device_keys,
    exceptions,
    indicators,
    insurer,
    leases,
    loans,
    orders,
    people,
    pool,
    quarantine,
    queue,
    recalls,
    receiving,
    requisitions,
    scans,
    sheets,
    stocktakes,
    sync,
    timeline,
)
from central.console.acting import Form, told
from central.console.language import COOKIE as LANGUAGE_COOKIE
from central.console.language import Language, languages
from central.console.live import Live
from central.console.pins import Doubt, Pins
from central.console.sheet import Sheet, send
from central.console.visit import LANGUAGE, View, Visit
from central.errors import BusyError, RequestError
from central.stock.roles import Role
from central.stock.services import Services

STATIC = pathlib.Path(__file__).parent / "static"
LIVE_HEADER = "X-Live"
"""Set by a page that renews itself: that is no sign of life of the person."""
HOME = "/pool"
_YEAR_S = 365 * 86_400
Page = Callable[[Visit], Awaitable[View]]
Act = Callable[[Visit, Form, Pins], Awaitable[View | str]]
"""What a person does with a second person: the page with what is wrong, or where to go next."""
PAGES: dict[str, Page] = {
    "/pool": pool.show,
    "/timeline": timeline.show,
    "/sync": sync.show,
    "/people": people.show,
    "/exceptions": exceptions.show,
    "/recalls": recalls.show,
    "/leases": leases.show,
    "/quarantine": quarantine.show,
    "/loans": loans.show,
    "/orders": orders.show,
    "/queue": queue.show,
    "/receiving": receiving.show,
    "/requisitions": requisitions.show,
    "/insurer": insurer.show,
    "/indicators": indicators.show,
    "/scans": scans.show,
    "/stocktakes": stocktakes.show,
    "/base-stock": base_stock.show,
    "/sheets": sheets.show,
    "/sheets/print": sheets.show_print,
}
Export = Callable[[Visit], Awaitable[Sheet]]
SHEETS: dict[str, Export] = {
    "/indicators.csv": indicators.sheet,
    "/insurer.csv": insurer.sheet,
    "/pool.csv": pool.sheet,
    "/timeline.csv": timeline.sheet,
    "/orders.csv": orders.sheet,
    "/queue.csv": queue.sheet,
    "/people.csv": people.sheet,
    "/exceptions.csv": exceptions.sheet,
    "/recalls.csv": recalls.sheet,
    "/quarantine.csv": quarantine.sheet,
    "/loans.csv": loans.sheet,
    "/receiving.csv": receiving.sheet,
    "/requisitions.csv": requisitions.sheet,
    "/scans.csv": scans.sheet,
    "/stocktakes.csv": stocktakes.sheet,
    "/base-stock.csv": base_stock.sheet,
    "/base-stock-use.csv": base_stock.use_sheet,
}


class Console:
    def __init__(self, services: Services, language: str) -> None:
        self._services = services
        self._languages = languages()
        self._default = language if language in self._languages else "zh-CN"
        self._sessions = Sessions()
        self._pins = Pins(services.read)
        self._live = Live(services.changes)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self._home)
        for path, page in PAGES.items():
            app.router.add_get(path, self._page(page))
        for path, export in SHEETS.items():
            app.router.add_get(path, self._sheet(export))
        app.router.add_post("/exceptions/{id}/close", self._close_exception)
        app.router.add_post("/sync/refill/end", self._end_refill)
        app.router.add_post("/leases/{device}/end", self._act(leases.end, Role.ADMINISTRATOR))
        app.router.add_post("/sync/devices/{device}/accept", self._act(device_keys.accept, Role.ADMINISTRATOR))
        app.router.add_post("/people", self._act(people.change, Role.ADMINISTRATOR))
        app.router.add_post("/receiving/{id}/close", self._act(receiving.close, Role.MANAGER))
        app.router.add_post("/requisitions", self._act(requisitions.ask))
        app.router.add_post("/requisitions/{id}/close", self._act(requisitions.close, Role.MANAGER))
        app.router.add_post("/requisitions/{id}/write-off", self._act(requisitions.write_off, Role.MANAGER))
        app.router.add_post("/insurer/repair", self._act(insurer.repair))
        app.router.add_post("/recalls", self._act(recalls.issue, Role.MANAGER))
        app.router.add_post("/quarantine", self._act(quarantine.decide, Role.MANAGER))
        app.router.add_post("/loans", self._act(loans.bind))
        app.router.add_post("/base-stock", self._act(base_stock.set_level, Role.MANAGER))
        app.router.add_post("/base-stock/request", self._act(base_stock.request))
        app.router.add_post("/base-stock/{id}/cancel", self._act(base_stock.cancel))
        app.router.add_post("/stocktakes", self._act(stocktakes.open_sheet, Role.MANAGER))
        app.router.add_post("/stocktakes/{id}", self._act(stocktakes.act, Role.MANAGER))
        app.router.add_post("/recalls/{id}/lift", self._act(recalls.lift, Role.MANAGER))
        app.router.add_get("/sign-in", self._sign_in_page)
        app.router.add_post("/sign-in", self._sign_in)
        app.router.add_post("/sign-out", self._sign_out)
        app.router.add_get("/events", self._events)
        app.router.add_static("/static/", STATIC)
        app.on_shutdown.append(self._live.stop)

    async def fault(self, request: web.Request, error: Exception) -> web.Response | None:
        """The page of an error that the person can do something about; None: it is ours."""
        visit = self._visit(request, self._session(request))
        match error:
            case MalformedError():
                status, details = HTTPStatus.BAD_REQUEST, [_sentence(visit, mistake) for mistake in error.mistakes]
            case RequestError():
                status, details = status_of(error), [told(visit, error)]
            case BusyError():
                status, details = HTTPStatus.SERVICE_UNAVAILABLE, [str(error)]
            case web.HTTPException():
                status, details = HTTPStatus(error.status), [error.text or ""]
            case _:
                return None
        return visit.render(View(template="fault.html", values={"status": status, "details": details}, status=status))

    def _page(self, page: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self._switch_language(request)
            session = self._session(request)
            if session is None:
                return _to_sign_in(request)
            return self._visit(request, session).render(await page(self._visit(request, session)))

        return handle

    def _sheet(self, export: Export) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            session = self._session(request)
            if session is None:
                return _to_sign_in(request)
            return await send(request, await export(self._visit(request, session)))

        return handle

    def _act(self, act: Act, role: Role | None = None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            session = self._session(request)
            if session is None:
                return _to_sign_in(request)
            self._services.roles.require(session.person, role)
            visit = self._visit(request, session)
            done = await act(visit, await request.post(), self._pins)
            if isinstance(done, View):
                return visit.render(done)
            raise web.HTTPSeeOther(done)

        return handle

    async def _home(self, _request: web.Request) -> web.StreamResponse:
        raise web.HTTPSeeOther(HOME)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._session(request) is None:
            raise web.HTTPUnauthorized(text="sign in first")
        return await self._live.stream(request)

    async def _close_exception(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        if session is None:
            return _to_sign_in(request)
        number = request.match_info["id"]
        if not number.isdecimal() or not number.isascii() or len(number) > 18:  # noqa: PLR2004 -- digits of a row number
            raise web.HTTPNotFound(text=f"no exception {number}")
        self._services.roles.require(session.person, None)
        await self._services.exceptions.close(int(number), session.person)
        raise web.HTTPSeeOther(_own_page((await request.post()).get("back")))

    async def _end_refill(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        if session is None:
            return _to_sign_in(request)
        self._services.roles.require(session.person, Role.ADMINISTRATOR)
        self._services.end_refill(session.person)
        raise web.HTTPSeeOther("/sync")

    async def _sign_in_page(self, request: web.Request) -> web.StreamResponse:
        self._switch_language(request)
        values = {"person": "", "cause": "", "next": _own_page(request.query.get("next"))}
        return self._visit(request, None).render(View(template="sign_in.html", values=values))

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        person, pin = str(form.get("person", "")).strip()[:128], str(form.get("pin", ""))[:128]
        visit, following = self._visit(request, None), _own_page(form.get("next"))
        name = await self._pins.name_of(visit, person, pin)
        if isinstance(name, Doubt):
            return _refused(visit, person, name.cause, following, name.status)
        response = web.HTTPSeeOther(following)
        secret = self._sessions.open(person, name)
        response.set_cookie(
            COOKIE,
            secret,
            max_age=int(SESSION_IDLE_S) * 2,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        raise response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        self._sessions.close(request.cookies.get(COOKIE, ""))
        response = web.HTTPSeeOther("/sign-in")
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
        raise response

    def _session(self, request: web.Request) -> Session | None:
        secret = request.cookies.get(COOKIE, "")
        return self._sessions.find(secret, is_person=LIVE_HEADER not in request.headers) if secret else None

    def _visit(self, request: web.Request, session: Session | None) -> Visit:
        return Visit(request, self._services, self._language(request), session)

    def _language(self, request: web.Request) -> Language:
        return self._languages.get(request.cookies.get(LANGUAGE_COOKIE, ""), self._languages[self._default])

    def _switch_language(self, request: web.Request) -> None:
        """``?lang=`` chooses the language of this browser and leads back to the same page without it."""
        wanted = request.query.get(LANGUAGE)
        if wanted is None:
            return
        visit = self._visit(request, None)
        response = web.HTTPSeeOther(visit.link())
        if wanted in self._languages:
            response.set_cookie(LANGUAGE_COOKIE, wanted, max_age=_YEAR_S, path="/", samesite="Strict", httponly=True)
        raise response


def _own_page(wanted: object) -> str:
    """The page of the console that the path names; home for anything else, so that no link leads elsewhere."""
    path, _, query = str(wanted or "").partition("?")
    if path not in PAGES:
        return HOME
    return f"{path}?{query}" if query.isprintable() and query else path


def _to_sign_in(request: web.Request) -> web.StreamResponse:
    if "HX-Request" in request.headers:
        return web.Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": "/sign-in"})
    target = request.path_qs if request.path in PAGES else HOME
    raise web.HTTPSeeOther(f"/sign-in?{urlencode({'next': target})}")


def _refused(visit: Visit, person: str, cause: str, following: str, status: HTTPStatus) -> web.Response:
    values = {"person": person, "cause": cause, "next": following}
    return visit.render(View(template="sign_in.html", values=values, status=status))


def _sentence(visit: Visit, mistake: Mistake) -> str:
    found = visit.language.say("found %(found)s", found=visit.known(mistake.found))
    expected = visit.language.say("expected %(expected)s", expected=visit.known(mistake.expected))
    return f"{mistake.field}: {found} · {expected}"
