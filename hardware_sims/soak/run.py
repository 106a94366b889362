"""A soak from the first process to the last: work under trouble, healing, and waiting until all has converged."""

import asyncio
import datetime as dt
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from hardware_sims.broker import Brand
from hardware_sims.catalogue import CATALOGUE
from hardware_sims.scenarios.plan import STAFF
from hardware_sims.soak import nemesis
from hardware_sims.soak.checker import PHYSICAL
from hardware_sims.soak.crew import Crew
from hardware_sims.soak.hands import Hands
from hardware_sims.soak.nemesis import Plan
from hardware_sims.soak.physical import PhysicalLog
from hardware_sims.soak.recalls import Recaller
from hardware_sims.soak.report import Course
from hardware_sims.soak.rounds import kill_in_rounds
from hardware_sims.soak.site import Site, agent_names
from hardware_sims.soak.storm import Storm

HEAL_WITHIN_S = 90.0
_TELL_S = 10.0
_POLL_S = 0.2
_ZONE = dt.timezone(dt.timedelta(hours=8))


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """``rounds`` above 0: kills one after the other in place of storms."""

    seed: int
    brand: Brand
    directory: Path
    agents: int = 5
    minutes: float = 10.0
    rounds: int = 0


async def run(soak: Soak, say: Callable[[str], None]) -> Course:
    """What happened. Raises ProcessDiedError if a program ended that nobody killed."""
    _stop_on_sigterm()
    names = agent_names(soak.agents)
    plan = nemesis.draw(soak.seed, total_s=soak.minutes * 60, agents=names)
    log = PhysicalLog(soak.directory / PHYSICAL)
    began = time.monotonic()

    def tell(text: str) -> None:
        say(f"{time.monotonic() - began:6.1f} s  {text}")

    tell(f"seed {soak.seed}, broker {soak.brand}, agents {', '.join(names)}, files in {soak.directory}")
    async with aiohttp.ClientSession() as http, AsyncExitStack() as wires:
        wires.callback(log.close)
        (soak.directory / "wires").mkdir()
        site = Site(soak.directory / "wires", names, seed=soak.seed, log=log)
        await site.plug_in(wires, today=dt.datetime.now(_ZONE).date())
        crew = Crew(soak.directory, soak.brand, seed=soak.seed, http=http)
        async with crew.working(site.workplaces):
            tell("broker, central and agents answer")
            course = await _play(soak, plan, crew, site, tell)
        tell("all are stopped: the files are audited")
        return msgspec.structs.replace(course, unverified=await crew.verified())


async def _play(soak: Soak, plan: Plan, crew: Crew, site: Site, tell: Callable[[str], None]) -> Course:
    began_s, began_us = time.monotonic(), time.time_ns() // 1000
    storm = Storm(crew, lambda: time.monotonic() - began_s, tell)
    recaller = Recaller(crew.hospital, site.boxes, seed=soak.seed)
    await crew.hospital.send_people([_person(number) for number in range(len(STAFF))])
    await crew.hospital.send_products([good.entry() for good in CATALOGUE])
    is_over = asyncio.Event()
    async with AsyncExitStack() as seats:
        hands = await site.staff({name: agent.url for name, agent in crew.agents.items()}, seats)
        async with _delivering(crew, site, recaller), _told(crew, hands, tell):
            working = [asyncio.create_task(each.work(is_over), name=each.agent) for each in hands]
            try:
                if soak.rounds:
                    await kill_in_rounds(storm, crew, rounds=soak.rounds, seed=soak.seed, say=tell)
                else:
                    await _storms(plan, storm, working)
                worked_s = time.monotonic() - began_s
                tell("all is healed: what waits is to drain")
                await storm.heal()
                is_over.set()
                await _within(asyncio.gather(*working))
            finally:
                for task in working:
                    task.cancel()
                await asyncio.gather(*working, return_exceptions=True)
        healed_s = time.monotonic()
        await _within(asyncio.gather(*(each.finish() for each in hands)))
        amiss = await _converge(crew)
    converged_s = time.monotonic() - healed_s
    tell(f"converged {converged_s:.1f} s after the last work" if not amiss else f"NOT converged: {amiss}")
    return Course(
        plan=plan,
        began_us=began_us,
        worked_s=worked_s,
        converged_s=converged_s,
        amiss=amiss,
        events=tuple(storm.events),
        recoveries=tuple(storm.recoveries),
        lines={name: dict(proxy.counts) for name, proxy in crew.proxies.items()},
        peak_mb=crew.memory.peak_mb,
        troubles={each.agent: each.troubles for each in hands},
        last_troubles={each.agent: each.last_trouble for each in hands},
        recalls_ordered=len(recaller.ordered),
        recalls_lifted=len(recaller.lifted),
    )


async def _storms(plan: Plan, storm: Storm, working: list[asyncio.Task[None]]) -> None:
    """All decisions; a hand that fails in a way nobody foresaw ends them."""
    raging = asyncio.create_task(_whole(plan, storm), name="storm")
    try:
        await asyncio.wait([raging, *working], return_when=asyncio.FIRST_COMPLETED)
        for task in (raging, *working):
            if task.done():
                task.result()
    finally:
        raging.cancel()
        await asyncio.gather(raging, return_exceptions=True)


async def _whole(plan: Plan, storm: Storm) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(plan.total_s))
        tasks.create_task(storm.rage(plan))


@asynccontextmanager
async def _delivering(crew: Crew, site: Site, recaller: Recaller) -> AsyncIterator[None]:
    """Notes and orders come inside."""
    supplies = [asyncio.create_task(each.run(crew.hospital)) for each in site.boxes]
    supplies += [asyncio.create_task(each.run(crew.hospital)) for each in site.pieces]
    supplies.append(asyncio.create_task(recaller.run()))
    try:
        yield
    finally:
        for task in supplies:
            task.cancel()
        ended = await asyncio.gather(*supplies, return_exceptions=True)
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise outcome


@asynccontextmanager
async def _told(crew: Crew, hands: list[Hands], tell: Callable[[str], None]) -> AsyncIterator[None]:
    """A line of progress every few seconds."""

    async def go_on() -> None:
        while True:
            await asyncio.sleep(_TELL_S)
            crew.raise_if_died()
            try:
                facts, waiting = sum(crew.gauge.in_ledger().values()), crew.gauge.waiting()
            except sqlite3.Error:
                continue  # a store that is being opened
            gone = sum(each.troubles for each in hands)
            tell(f"{facts} facts in the ledger, {waiting} on their way; a screen went away {gone} times")

    telling = asyncio.create_task(go_on(), name="progress")
    try:
        yield
    finally:
        telling.cancel()
        (ended,) = await asyncio.gather(telling, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended


async def _within(work: asyncio.Future[list[None]]) -> None:
    """Bounded: what is not done then shows in the audit."""
    try:
        async with asyncio.timeout(HEAL_WITHIN_S):
            await work
    except TimeoutError:
        pass


async def _converge(crew: Crew) -> str:
    """Empty once every fact is in the ledger, and every replica and recall set up to date; else what is not."""
    deadline = time.monotonic() + HEAL_WITHIN_S
    while amiss := _amiss(crew):
        if time.monotonic() > deadline:
            return amiss
        await asyncio.sleep(_POLL_S)
    return ""


def _amiss(crew: Crew) -> str:
    gauge = crew.gauge
    try:
        waiting, behind, (signed, held) = gauge.waiting(), gauge.behind(), gauge.recalls()
    except sqlite3.Error as error:
        return str(error)
    uncovered = [agent for agent, version in held.items() if version != signed]
    parts = (
        f"{waiting} facts are not in the ledger" if waiting else "",
        f"replicas behind: {', '.join(behind)}" if behind else "",
        f"without the recalls: {', '.join(uncovered)}" if uncovered else "",
    )
    return "; ".join(part for part in parts if part)


def _person(number: int) -> dict[str, object]:
    one = STAFF[number]
    return {"id": one.id, "name": one.name, "badge": one.badge, "pin": one.pin, "is_active": True}


def _stop_on_sigterm() -> None:
    running = asyncio.current_task()
    assert running is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
