"""Keeps one connection to a device alive until cancelled, and says how that goes.

A device that is away is asked again for ever, because a cabinet must heal without a person; what is bounded is the
wait between two attempts. The longest wait stays below three seconds: the time in which a device that was plugged in
again must be usable.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from drivers.errors import DeviceGoneError
from drivers.readings import DeviceHealth, LinkState

LONGEST_WAIT_ALLOWED_S = 5.0

_log: structlog.stdlib.BoundLogger = structlog.get_logger("drivers.reconnect")


class Reconnect:
    """Runs a session, and again after each loss: at once after a settled one, else after a growing, jittered wait.

    ``settled_s`` is how long a session must have been ready for its loss to count as news. A shorter one is another
    failed attempt, so that a device that accepts and hangs up is not asked in a tight loop.
    """

    def __init__(
        self,
        *,
        name: str,
        driver: str,
        first_wait_s: float = 0.25,
        longest_wait_s: float = 2.5,
        settled_s: float = 1.0,
        random: Random | None = None,
    ) -> None:
        if not 0 < first_wait_s <= longest_wait_s <= LONGEST_WAIT_ALLOWED_S:
            raise ValueError(
                f"waits of {name!r}: expected 0 < first_wait_s <= longest_wait_s <= {LONGEST_WAIT_ALLOWED_S},"
                f" found {first_wait_s} and {longest_wait_s}"
            )
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s
        self._settled_s = settled_s
        # Jitter only spreads load: a predictable one harms nobody.
        self._random = random or Random()  # noqa: S311
        self._ready_since: float | None = None
        self._health = DeviceHealth(name=name, driver=driver, state=LinkState.CONNECTING)
        self._log = _log.bind(device=name, driver=driver)

    @property
    def health(self) -> DeviceHealth:
        return self._health

    @property
    def is_ready(self) -> bool:
        return self._health.state is LinkState.READY

    def require_ready(self) -> None:
        """Raises DeviceGoneError, with the cause, unless the device can be used now."""
        if not self.is_ready:
            raise DeviceGoneError(f"{self._health.name}: not connected: {self._health.cause or 'still connecting'}")

    def ready(self) -> None:
        """To be called by the session once the device can be used."""
        self._ready_since = asyncio.get_running_loop().time()
        self._health = DeviceHealth(name=self._health.name, driver=self._health.driver, state=LinkState.READY)
        self._log.info("device_ready")

    async def run(self, session: Callable[[], Awaitable[None]]) -> None:
        """Run sessions until cancelled. A session ends by DeviceGoneError, OSError or return; other errors pass."""
        while True:
            await AsyncRetrying(wait=self._wait_s, retry=retry_if_exception_type(DeviceGoneError), sleep=asyncio.sleep)(
                self._attempt, session
            )

    async def _attempt(self, session: Callable[[], Awaitable[None]]) -> None:
        """One session. Returns when a settled one was lost, raises DeviceGoneError when it counts as a failure."""
        self._ready_since = None
        cause = "the driver was stopped"
        try:
            await _in_a_task_of_its_own(session())
            cause = "the session ended"
        except* (DeviceGoneError, OSError) as losses:
            cause = _first_line(losses)
        finally:
            # Also when cancelled: nobody may take a device for usable that nobody serves.
            had_settled = self._has_settled()
            self._fault(cause)
        if not had_settled:
            raise DeviceGoneError(cause)

    def _has_settled(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        return self._ready_since is not None and now_s - self._ready_since >= self._settled_s

    def _fault(self, cause: str) -> None:
        # An endless outage is one line of the log, not one a second.
        if self._health.state is LinkState.READY or cause != self._health.cause:
            self._log.warning("device_lost", cause=cause)
        self._health = DeviceHealth(
            name=self._health.name,
            driver=self._health.driver,
            state=LinkState.FAULTED,
            cause=cause,
            attempts=self._health.attempts + 1,
        )

    def _wait_s(self, state: RetryCallState) -> float:
        doublings = min(state.attempt_number - 1, 16)
        longest_s = min(self._longest_wait_s, self._first_wait_s * float(2**doublings))
        return longest_s * self._random.uniform(0.5, 1.0)


async def _in_a_task_of_its_own(session: Awaitable[None]) -> None:
    """A task group of Python 3.11 may lose the cancellation of the task that it runs in: so that is never ours."""
    task = asyncio.ensure_future(session)
    try:
        return await asyncio.shield(task)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # seen: it is being stopped


def _first_line(losses: BaseExceptionGroup[BaseException]) -> str:
    loss: BaseException = losses
    while isinstance(loss, BaseExceptionGroup):
        loss = loss.exceptions[0]
    return (str(loss) or type(loss).__name__).splitlines()[0]
