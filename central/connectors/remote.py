"""A platform of others over HTTP: rounds of work until cancelled, and what a request came to (design.md §7).

A request took effect or not as its answer says, certainly did not, or is unknown: then nothing is sent twice before the
platform was asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import aiohttp
import msgspec
import structlog
import tenacity

from central.changes import Changes
from central.errors import BusyError, CentralError

IDLE_S = 30.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_OK, _SERVER_ERROR = 200, 500
_T = TypeVar("_T")
_log = structlog.get_logger("central.remote")


class NotTakenError(CentralError):
    """The request certainly did not take effect: it did not leave, or was turned away at the door."""


class NoAnswerError(CentralError):
    """The request left, and nothing is known of what became of it."""


class Remote:
    """``trouble``: why it cannot be reached at the moment, empty while it can. ``advice``: what to check then."""

    def __init__(self, name: str, *, url: str, changes: Changes, timeout_s: float, advice: str) -> None:
        self.trouble = ""
        self._name = name
        self._url = url
        self._changes = changes
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout_s / 2)
        self._advice = advice

    async def work(
        self,
        work: Callable[[aiohttp.ClientSession], Awaitable[bool]],
        wait_us: Callable[[], int | None],
        *,
        linger_s: float = 0.0,
    ) -> None:
        """Work round after round until cancelled; after one that had nothing to do, rest until ``wait_us`` or news.

        ``linger_s``: how long news may gather, to leave together.
        """
        connector = aiohttp.TCPConnector(force_close=True)  # a kept connection that died would look like a lost answer
        async with aiohttp.ClientSession(connector=connector, timeout=self._timeout) as http:
            while True:
                tick = self._changes.tick
                retrying = tenacity.AsyncRetrying(
                    retry=tenacity.retry_if_exception_type((NotTakenError, NoAnswerError, BusyError)),
                    wait=tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
                    before_sleep=self._say,
                )
                has_worked: bool = await retrying(work, http)
                self.trouble = ""
                if not has_worked:
                    await self._rest(tick, wait_us(), linger_s)

    async def post(
        self,
        http: aiohttp.ClientSession,
        data: bytes | Mapping[str, str],
        read: Callable[[bytes], _T],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> _T:
        """The answer as ``read`` understands it. Raises NotTakenError, NoAnswerError."""
        try:
            async with http.post(self._url, data=data, headers=headers) as response:
                body, status = await response.read(), response.status
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotTakenError(f"{self._url}: no connection: {error}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswerError(f"{self._url}: no answer: {str(error) or type(error).__name__}") from error
        if status >= _SERVER_ERROR:
            raise NoAnswerError(f"{self._url}: status {status}")
        if status != _OK:
            raise NotTakenError(f"{self._url}: turned away with status {status}; {self._advice}")
        try:
            return read(body)
        except (ValueError, msgspec.MsgspecError) as error:
            raise NoAnswerError(f"{self._url}: the answer cannot be read: {error}") from error

    async def _rest(self, tick: int, wait_us: int | None, linger_s: float) -> None:
        wait_s = IDLE_S if wait_us is None else max(wait_us / 1_000_000, linger_s)
        try:
            async with asyncio.timeout(min(wait_s, IDLE_S)):
                await self._changes.after(tick)
        except TimeoutError:
            return
        await asyncio.sleep(linger_s)

    def _say(self, state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None, "tenacity sleeps after an attempt"
        cause = str(state.outcome.exception())
        if cause != self.trouble:
            _log.warning(f"{self._name} cannot be reached", cause=cause)
        self.trouble = cause
