"""A local page of an agent, used by a script as a person uses it: sign in, press, look."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from hardware_sims.scenarios.errors import SignedOutError, UnexpectedAnswerError

_TIMEOUT = aiohttp.ClientTimeout(total=15)
_ANSWERS = frozenset({200, 409})
_SIGNED_OUT = 401


class Page:
    """One browser at one workplace, as an async context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        # An agent's page has a plain IP address; without this the jar would keep no cookie of it.
        self._http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Accept": "application/json"}, timeout=_TIMEOUT
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self._http.close()

    async def sign_in(self, person: str, pin: str) -> None:
        await self.press("/sign-in", person=person, pin=pin)

    async def press(self, path: str, **fields: str) -> Any:
        """What the page answers to a POST; a refusal (409) is an answer. Raises UnexpectedAnswerError for others."""
        async with self._http.post(self._url + path, json=fields) as answer:
            return await _read(answer, path, fields)

    async def look(self, path: str) -> Any:
        async with self._http.get(self._url + path) as answer:
            return await _read(answer, path, {})


async def _read(answer: aiohttp.ClientResponse, path: str, fields: Mapping[str, str]) -> Any:
    if answer.status not in _ANSWERS:
        kind = SignedOutError if answer.status == _SIGNED_OUT else UnexpectedAnswerError
        raise kind(f"{path} {dict(fields)}: HTTP {answer.status}: {(await answer.text())[:500]}")
    return await answer.json()
