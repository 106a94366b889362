"""What staff and the hospital's programs do, each through the interface that is meant for it.

Pharmacists have a PDA each (JSON of the station's page), billing has the interface of machines, the desk has forms of
the console, orders come by FHIR.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

import aiohttp

from hardware_sims.month.orders import Case
from hardware_sims.month.site import AGENTS, BILLING, BILLING_TOKEN, CENTRAL, STATION, MonthSite
from hardware_sims.platforms.hospital import placing, taking_back
from hardware_sims.scenarios.errors import SignedOutError, UnexpectedAnswerError, WaitedInVainError
from hardware_sims.scenarios.plan import Member
from hardware_sims.scenarios.station_page import PdaSeat, Verdict

ZONE = dt.timezone(dt.timedelta(hours=8))
_SETTLED_S = 120.0
_POLL_S, _SOONEST_S = 0.01, 0.001
_FORM_S = aiohttp.ClientTimeout(total=300)
_OK, _DONE, _REFUSED = 200, 303, 422
_SIGN_IN = "/sign-in"


class FormRefusedError(UnexpectedAnswerError):
    """The console names what is wrong with a form."""


class Seat(PdaSeat):
    """A pharmacist's PDA, which remembers its step."""

    def __init__(self, url: str, who: Member) -> None:
        super().__init__(url)
        self.who = who
        self._at: dict[str, str] = {}

    async def press(self, path: str, **fields: str) -> Any:
        """Who was signed out meanwhile signs in, turns to the step that was on, and presses again."""
        try:
            return await super().press(path, **fields)
        except SignedOutError:
            if path == "/sign-in":
                raise
        await self._return()
        return await super().press(path, **fields)

    async def locked(self, order: str) -> list[str]:
        """What the station shows as locked for the order; nothing if it does not know the order."""
        try:
            ticket = await self.look(f"/orders/{order}")
        except SignedOutError:
            await self._return()
            ticket = await self.look(f"/orders/{order}")
        return list(ticket.get("locked", ()))

    async def _return(self) -> None:
        at, self._at = self._at, {}
        await self.sign_in(self.who.id, self.who.pin)
        if at:
            await self.turn(**at)

    async def turn(self, **fields: str) -> None:
        """Choose the step and what it is about, unless it is on already."""
        if fields == self._at:
            return
        self._at = {}
        answer = await self.press("/step", **fields)
        if answer.get("step") != fields["step"]:
            raise UnexpectedAnswerError(f"step {fields}: the station says {answer}")
        self._at = fields if fields["step"] in {"prescan", "look_up"} else {}

    async def take(self, pick: str, quantity: int) -> dict[str, Any]:
        answer: dict[str, Any] = await self.press("/take", pick=pick, quantity=str(quantity))
        return answer

    async def count(self, objects: Mapping[str, int]) -> Verdict:
        told = {line: str(number) for line, number in objects.items()}
        return verdict(await self.press("/count", **told))

    async def ask_scan(self, symbol: bytes) -> dict[str, Any]:
        """A scan whose answer asks for a number: what it asks of stands in ``asks``."""
        answer: dict[str, Any] = await self.press("/scan", code=symbol.decode())
        return answer


def verdict(answer: Mapping[str, Any]) -> Verdict:
    return Verdict(
        result=answer["result"],
        number=answer["number"],
        code=answer["code"],
        reason=answer["reason"],
        found=answer["found"],
        expected=answer["expected"],
        order=answer["order"],
    )


class Hands:
    """Use as an async context manager, while the site works."""

    def __init__(
        self, site: MonthSite, staff: Sequence[Member], *, began: dt.datetime, http: aiohttp.ClientSession
    ) -> None:
        self.site = site
        self.began = began
        self.hospital = site.hospital
        self.staff = staff
        self.seats: list[Seat] = []
        self._http = http
        self._vends = 0
        self._message: list[dict[str, Any]] = []
        self._sending: asyncio.Task[None] | None = None
        self._sent: set[str] = set()
        """Orders in the message on its way, by id."""
        self._station_version = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        jar = aiohttp.CookieJar(unsafe=True)
        self._console = await self._stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=jar, timeout=_FORM_S, headers={"Origin": self.site.urls[CENTRAL]})
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._stack.aclose()

    async def sit_down(self) -> None:
        """Everybody signs in at a PDA, the first one at the console, too."""
        await self.settled()
        for who in self.staff:
            seat = await self._stack.enter_async_context(Seat(self.site.urls[STATION], who))
            await seat.sign_in(who.id, who.pin)
            self.seats.append(seat)
        await self._sign_in()

    async def settled(self) -> None:
        """Return once nothing is on its way: what anybody did is in the ledger, and the station knows the ledger."""
        await self.send()
        await self.sent()
        await self.quiet()

    async def quiet(self) -> None:
        """The same, but for the message of the hospital system."""
        for agent in AGENTS:
            await self._until(
                partial(
                    self._of_agent, agent, lambda health: f"{n} facts wait" if (n := health["facts_waiting"]) else ""
                )
            )
        await self._until(partial(self._deciding, "orders", "shares"))
        await self._station_has((await self.hospital.ask("/api/v1/agents"))["version"])

    async def rested(self) -> None:
        """Quiet, and the station shows what the ledger says.

        What it did itself it shows as it left it until its copy is sure of it, whatever was locked since.
        """
        await self.quiet()
        await self._until(
            partial(self._of_agent, STATION, lambda health: "it shows its own" if health["shows_own_facts"] else "")
        )

    def order(self, case: Case) -> None:
        """For the next message of the hospital system."""
        self._message.append(placing(case.line, authored=self._authored(case)))

    def take_back(self, case: Case) -> None:
        """The hospital system will tell that the order is done without codepool."""
        self._message.append(taking_back(case.line, authored=self._authored(case)))

    async def send(self) -> None:
        """Send the message, once the one before is done with (``sent``)."""
        await self.sent()
        if self._message:
            message, self._message = self._message, []
            self._sent = {entry["resource"]["identifier"][0]["value"] for entry in message}
            self._sending = asyncio.create_task(self._deliver(message), name="hospital system")

    async def sent(self) -> None:
        """Return once no order in the last message waits for units on their way back."""
        if self._sending is not None:
            await self._sending
            self._sent.clear()

    async def _deliver(self, message: list[dict[str, Any]]) -> None:
        await self.hospital.send_orders(message)
        await self._until(partial(self._deciding, "orders"))

    async def codes_of(self, case: Case, seat: Seat) -> list[str]:
        """Locked to an order, as the station shows it; it may show less than the ledger has: then that is asked."""
        order = case.line.id
        if order in self._sent:
            await self.sent()
        codes = await seat.locked(order)
        if len(codes) < case.line.quantity:
            await self.sent()
            codes = await self.codes_given(order)
        return codes

    async def codes_given(self, order: str) -> list[str]:
        """Locked to an order, or handed out for it, as the ledger has it; the station knows them, too."""
        found = await self.hospital.ask(f"/api/v1/orders/{order}")
        await self._station_has(found["version"])
        return list(found["codes"])

    async def bill(self, order: str, product: str, quantity: int, operator: str) -> None:
        """Billing says what went out without a code."""
        self._vends += 1
        told = {"vend": str(self._vends), "product": product, "quantity": str(quantity), "operator": operator}
        headers = {"Authorization": f"Bearer {BILLING_TOKEN}", "Accept": "application/json"}
        async with self._http.post(
            f"{self.site.urls[BILLING]}/vends", json=told | {"order": order}, headers=headers
        ) as answer:
            said = await answer.json()
            if answer.status != _OK or said["codes"]:
                raise UnexpectedAnswerError(f"billing said {told}: HTTP {answer.status}, {said}")

    async def submit(self, path: str, **fields: str | Sequence[str]) -> str:
        """Send a form of the console as the first of the staff, the second signs where it must be; where it leads."""
        where = await self._form(path, fields)
        if where.startswith(_SIGN_IN):
            await self._sign_in()
            where = await self._form(path, fields)
        return where

    async def download(self, path: str, query: Mapping[str, str]) -> str:
        """A file of the console."""
        await self._sign_in()
        async with self._console.get(
            self.site.urls[CENTRAL] + path, params=dict(query), allow_redirects=False
        ) as answer:
            if answer.status != _OK:
                raise UnexpectedAnswerError(f"{path} {query}: HTTP {answer.status}: {(await answer.text())[-1500:]}")
            return (await answer.read()).decode("utf-8-sig")

    async def _sign_in(self) -> None:
        first = self.staff[0]
        where = await self._form(_SIGN_IN, {"person": first.id, "pin": first.pin, "next": "/pool"})
        if where.startswith(_SIGN_IN):
            raise UnexpectedAnswerError(f"{first.id} cannot sign in at the console: it leads to {where}")

    async def _form(self, path: str, fields: Mapping[str, str | Sequence[str]]) -> str:
        pairs = [
            (name, one) for name, value in fields.items() for one in ([value] if isinstance(value, str) else value)
        ]
        async with self._console.post(self.site.urls[CENTRAL] + path, data=pairs, allow_redirects=False) as answer:
            if answer.status != _DONE:
                kind = FormRefusedError if answer.status == _REFUSED else UnexpectedAnswerError
                raise kind(f"{path} {fields}: HTTP {answer.status}: {(await answer.text())[-1500:]}")
            return answer.headers["Location"]

    def second(self) -> dict[str, str]:
        """The second person's signature on a form of the console."""
        return {"witness": self.staff[1].id, "pin": self.staff[1].pin}

    async def _until(self, amiss: Callable[[], Awaitable[str]]) -> None:
        """Return once nothing is amiss. Raises WaitedInVainError if something stays so."""
        deadline, pause_s = time.monotonic() + _SETTLED_S, _SOONEST_S
        while found := await amiss():
            self.site.raise_if_died()
            if time.monotonic() > deadline:
                raise WaitedInVainError(f"waited {_SETTLED_S:.0f} s until nothing is on its way; found: {found}")
            await asyncio.sleep(pause_s)
            pause_s = min(_POLL_S, 2 * pause_s)

    def _authored(self, case: Case) -> dt.datetime:
        return self.began + dt.timedelta(microseconds=case.at_us)

    async def _station_has(self, version: int) -> None:
        def amiss(health: dict[str, Any]) -> str:
            self._station_version = health["replica_version"]
            return "it is behind" if self._station_version < version else ""

        if self._station_version < version:
            await self._until(partial(self._of_agent, STATION, amiss))

    async def _of_agent(self, agent: str, amiss: Callable[[dict[str, Any]], str]) -> str:
        async with self._http.get(f"{self.site.urls[agent]}/healthz") as answer:
            health = await answer.json()
        found = amiss(health) if health["is_connected"] else f"it is not connected ({health['cause']})"
        return f"{agent}: {found}" if found else ""

    async def _deciding(self, *amiss: str) -> str:
        """An order is not locked yet whose units a workplace gives back just now; units are shared anew."""
        deciding = (await self.hospital.ask("/api/v1/leases"))["deciding"]
        return f"rights: {deciding}" if deciding in amiss else ""
