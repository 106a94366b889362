"""Carries out what was decided: each trouble begins, lasts and ends, and how long it took to recover is measured."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress

import msgspec

from hardware_sims.soak.crew import Crew
from hardware_sims.soak.nemesis import BROKER, CENTRAL, Decision, Nemesis, Plan
from hardware_sims.soak.proxy import ChaosProxy, Way, Weather

_FLAP_UP_S, _FLAP_DOWN_S = 2.0, 5.0
_STALE = 12
_POLL_S = 0.02
_KILLED_AGAIN = 0.75
"""Kills of a higher degree hit a second time, while the process starts."""
_START_S = 2.0
DRAIN_WITHIN_S = 60.0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it was carried out; seconds from the start of the run."""

    nemesis: Nemesis
    target: str
    began_s: float
    ended_s: float


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """After one kill -9. ``drained_s`` counts from ``ready``: all that journals held then is in the ledger."""

    target: str
    killed_at_s: float
    down_s: float
    """Left dead on purpose."""
    ready_s: float
    """From the start of the process until it answered."""
    waiting: int
    """Facts that waited when it answered again."""
    drained_s: float | None
    """None: not within a minute, or the run ended first."""
    is_undisturbed: bool
    """No other trouble was at work meanwhile."""


class Storm:
    def __init__(self, crew: Crew, now_s: Callable[[], float], say: Callable[[str], None]) -> None:
        self.events: list[Event] = []
        self.recoveries: list[Recovery] = []
        self._crew = crew
        self._now_s = now_s
        self._say = say
        self._at_work: set[int] = set()
        self._begun = 0
        self._measuring: set[asyncio.Task[None]] = set()

    async def rage(self, plan: Plan) -> None:
        """All decisions at their times; returns when the last has ended."""
        async with asyncio.TaskGroup() as tasks:
            for number, decision in enumerate(plan.decisions):
                tasks.create_task(self._carry_out(number, decision), name=f"nemesis {number}")

    async def heal(self) -> None:
        """Every line is good again; measurements under way come to their end."""
        for proxy in self._crew.proxies.values():
            proxy.clear()
        await self.settled()

    async def settled(self) -> None:
        """Return once every measurement under way has come to its end; each is bounded."""
        if self._measuring:
            await asyncio.wait(self._measuring)

    async def kill(self, target: str, *, down_s: float, again_s: float | None = None) -> None:
        """Kill, wait, start, and measure in the background how soon it drains; ``again_s`` into its start once more."""
        async with self._crew.alone_with(target):
            killed_at_s = self._now_s()
            await self._crew.kill(target)
            await asyncio.sleep(down_s)
            if again_s is not None:
                await self._crew.kill_starting(target, after_s=again_s)
            started_s = self._now_s()
            await self._crew.start(target)
            ready_s = self._now_s()
        task = asyncio.create_task(
            self._drained(target, killed_at_s=killed_at_s, started_s=started_s, ready_s=ready_s, down_s=down_s),
            name=f"drain after {target}",
        )
        self._measuring.add(task)
        task.add_done_callback(self._measuring.discard)

    async def _carry_out(self, number: int, decision: Decision) -> None:
        await asyncio.sleep(max(0.0, decision.at_s - self._now_s()))
        began_s = self._now_s()
        self._at_work.add(number)
        self._begun += 1
        self._say(f"{decision.nemesis} {decision.target}" + (f" for {decision.for_s:.0f} s" if decision.for_s else ""))
        try:
            if decision.nemesis is Nemesis.KILL:
                again_s = decision.degree * _START_S if decision.degree > _KILLED_AGAIN else None
                await self.kill(decision.target, down_s=decision.for_s, again_s=again_s)
            elif decision.nemesis is Nemesis.PAUSE:
                await self._pause(decision)
            else:
                await self._disturb(self._crew.proxies[decision.target], decision)
        finally:
            self._at_work.discard(number)
        self.events.append(
            Event(
                nemesis=decision.nemesis,
                target=decision.target,
                began_s=round(began_s, 3),
                ended_s=round(self._now_s(), 3),
            )
        )

    async def _pause(self, decision: Decision) -> None:
        process = self._crew.processes[decision.target]
        async with self._crew.alone_with(decision.target):
            process.pause()
            await asyncio.sleep(decision.for_s)
            process.go_on()

    async def _disturb(self, line: ChaosProxy, decision: Decision) -> None:
        match decision.nemesis:
            case Nemesis.CUT | Nemesis.CUT_MIDWAY:
                line.cut(is_midway=decision.nemesis is Nemesis.CUT_MIDWAY)
            case Nemesis.HOLE_UP | Nemesis.HOLE_DOWN:
                line.hold(Way.UP if decision.nemesis is Nemesis.HOLE_UP else Way.DOWN)
            case Nemesis.FLAP:
                await self._flap(line, decision.for_s)
                return
            case Nemesis.LATE_WILL:
                line.has_late_will = True
                line.cut()
            case _:
                line.weather = dict.fromkeys(Way, _weather(decision))
                if decision.nemesis is Nemesis.STALE:
                    line.cut()
        await asyncio.sleep(decision.for_s)
        if decision.nemesis is Nemesis.LATE_WILL:
            line.cut()
        line.clear()

    async def _flap(self, line: ChaosProxy, for_s: float) -> None:
        """Up for 2 s, down for 5."""
        end_s = self._now_s() + for_s
        while (left_s := end_s - self._now_s()) > 0:
            line.is_refusing = True
            line.cut()
            await asyncio.sleep(min(left_s, _FLAP_DOWN_S))
            line.is_refusing = False
            await asyncio.sleep(min(max(0.0, end_s - self._now_s()), _FLAP_UP_S))

    async def _drained(
        self, target: str, *, killed_at_s: float, started_s: float, ready_s: float, down_s: float
    ) -> None:
        """Of an agent: its own facts; of broker and central: everybody's."""
        gauge, begun = self._crew.gauge, self._begun
        agents = list(self._crew.agents) if target in {BROKER, CENTRAL} else [target]
        waiting: int | None = None
        drained_s: float | None = None
        written: dict[bytes, int] = {}
        while drained_s is None and self._now_s() - ready_s < DRAIN_WITHIN_S:
            with suppress(sqlite3.Error):  # a store that is being opened is asked again
                if waiting is None:
                    written = {session: seq for agent in agents for session, seq in gauge.written(agent).items()}
                missing = gauge.missing(written)
                waiting = missing if waiting is None else waiting
                drained_s = None if missing else self._now_s() - ready_s
            await asyncio.sleep(_POLL_S)
        # This kill was in ``at_work`` itself when it was carried out by a plan, and may still be.
        is_undisturbed = self._begun == begun and not self._at_work
        self.recoveries.append(
            Recovery(
                target=target,
                killed_at_s=round(killed_at_s, 3),
                down_s=round(down_s, 3),
                ready_s=round(ready_s - started_s, 3),
                waiting=waiting or 0,
                drained_s=None if drained_s is None else round(drained_s, 3),
                is_undisturbed=is_undisturbed,
            )
        )


def _weather(decision: Decision) -> Weather:
    """How bad it is goes by the decision's degree."""
    degree = decision.degree
    match decision.nemesis:
        case Nemesis.DELAY:
            return Weather(delay_s=(0.0, 0.1 + 3.0 * degree))
        case Nemesis.LOSE:
            return Weather(loses=0.05 + 0.25 * degree)
        case Nemesis.REPEAT:
            return Weather(repeats=0.1 + 0.4 * degree)
        case Nemesis.REORDER:
            return Weather(reorders=0.1 + 0.4 * degree)
        case _:
            return Weather(stale=1 + int(_STALE * degree))
