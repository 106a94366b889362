"""Who a person at the console is: a PIN, with few tries. For signing in, and for the second person of an act."""

from http import HTTPStatus

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from central.auth import Lockout, PinCheck
from central.console.visit import Visit
from central.ledger import read_console


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Why the person is not believed, in the language of the page."""

    cause: str
    status: HTTPStatus


class Pins:
    def __init__(self, read: AsyncEngine) -> None:
        self._read = read
        self._lockout = Lockout()
        self._check = PinCheck()

    async def name_of(self, visit: Visit, person: str, pin: str) -> str | Doubt:
        """The name of the person whose PIN it is."""
        wait_s = self._lockout.wait_s(person)
        if wait_s:
            cause = visit.language.say("Too many wrong PINs. Try again in %(span)s.", span=visit.span(wait_s))
            return Doubt(cause=cause, status=HTTPStatus.TOO_MANY_REQUESTS)
        self._lockout.wrong(person)  # counted before the check: tries at the same moment count too
        name, verifier = await read_console.sign_in_of(self._read, person) or ("", "")
        if not await self._check.fits(verifier, pin):
            cause = visit.language.say("This person and PIN do not fit. Check both and try again.")
            return Doubt(cause=cause, status=HTTPStatus.UNAUTHORIZED)
        self._lockout.right(person)
        return name
