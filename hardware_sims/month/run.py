"""Months from the first process to the last: programs started, weeks played, the console asked, the files audited."""

import asyncio
import datetime as dt
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from hardware_sims.broker import Brand
from hardware_sims.month.audit import audit
from hardware_sims.month.hands import ZONE
from hardware_sims.month.insurer import LeanInsurer
from hardware_sims.month.play import Course, Play, Tell
from hardware_sims.month.played_time import PlayedTime
from hardware_sims.month.site import MonthSite
from hardware_sims.month.table import Report, Table, read_table
from hardware_sims.platforms.serving import served
from hardware_sims.scenarios.errors import WaitedInVainError
from hardware_sims.soak.crew import Memory

TIME = "time"
_LOOK_S = 2.0
_INSURED_S = 600.0
_POLL_S = 0.2
_HOUR_US = 3_600_000_000


async def run(play: Play, directory: Path, brand: Brand, tell: Tell) -> Report:
    """Raises PlayError, ProcessDiedError or HospitalError where it cannot go on."""
    playing = asyncio.current_task()
    assert playing is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    began = time.monotonic()
    memory = Memory()
    with PlayedTime(directory / TIME, began_us=play.began_us) as clock:

        def now() -> dt.datetime:
            return dt.datetime.fromtimestamp(clock.now_us / 1e6, tz=ZONE)

        async with aiohttp.ClientSession() as http:
            insurer = LeanInsurer(now=now)
            async with served(insurer.application()) as url:
                site = MonthSite(directory, brand, played_time=clock.path, insurer=url, http=http)
                course = Course(play, site, clock, http=http)
                insurer.know(course.pharmacy.goods)
                async with site.working(), _watched(memory, site), course.hands:
                    await course.run(tell)
                    table = await _asked(course, clock, play)
                played_s = time.monotonic() - began
                unverified = await site.verified()
    insured = {box: units for box, units in insurer.counter.of_boxes.items() if units}
    books = await asyncio.to_thread(audit, directory, course.given, insured, unverified=unverified)
    return Report(
        table=table,
        books=books,
        is_balanced=books.is_balanced,
        played_s=round(played_s, 1),
        audited_s=round(time.monotonic() - began - played_s, 1),
        peak_mb=memory.peak_mb,
    )


async def _asked(course: Course, clock: PlayedTime, play: Play) -> Table:
    """The table, once the insurer has answered for every row."""
    deadline = time.monotonic() + _INSURED_S
    hospital = course.hands.hospital
    while waiting := [
        state
        for state in ("waiting", "sending", "unknown")
        if (await hospital.ask(f"/api/v1/insurer-rows?state={state}&limit=1"))["rows"]
    ]:
        course.hands.site.raise_if_died()
        if time.monotonic() > deadline:
            raise WaitedInVainError(f"waited {_INSURED_S:.0f} s for the insurer; found: rows {', '.join(waiting)}")
        clock.go_to(clock.now_us + _HOUR_US)  # what is to be tried again later is due
        await asyncio.sleep(_POLL_S)
    return await read_table(course.hands, play, course.given)


@asynccontextmanager
async def _watched(memory: Memory, site: MonthSite) -> AsyncIterator[None]:
    """Peak memory is noted all the while."""

    async def look() -> None:
        while True:
            for process in site.processes:
                memory.note(process)
            await asyncio.sleep(_LOOK_S)

    looking = asyncio.create_task(look(), name="memory")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def as_json(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report)) + b"\n"
