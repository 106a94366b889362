"""Sync health: one honest sentence, each part of central, each agent with cause and action of its trouble."""

from collections.abc import Mapping

import msgspec
from sqlalchemy import RowMapping

from central.console.acting import UNSIGNED
from central.console.visit import View, Visit
from central.ledger import read_api, read_console
from central.ledger.read_rows import AgentRow, ExceptionRow
from central.ledger.schema import exception
from central.stock.device_keys import Enrolment
from central.stock.services import Condition, Life
from sync_protocol.envelope import fingerprint
from sync_protocol.machines.lineage import Finding

CLOCK_S = 5.0
"""A clock that is further off than this is set wrongly, not just read late."""
BEHIND = 50
"""Versions that a replica may be behind while a busy morning goes on."""

MOST_DOUBTS = 100
DRIFT_SHOWN_US = 7 * 86_400_000_000
_DOUBTED = (exception.c.reason.in_(list(Finding)), exception.c.closed_us.is_(None))

ON_THE_WAY = frozenset(("ledger", "broker", "ingest"))
"""Parts that a scan passes on its way into the ledger."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """``is_serious``: a person must act; else it passes by itself."""

    cause: str
    action: str
    is_serious: bool = True


async def show(visit: Visit) -> View:
    return await page(visit)


async def page(visit: Visit, *, form: Mapping[str, str] = UNSIGNED, cause: str = "", status: int = 200) -> View:
    """``form``, ``cause``: what was given where a key was not accepted, and why not."""
    engine = visit.services.read
    agents = await read_api.agents(engine)
    conditions, life = visit.services.conditions(), visit.services.life()
    doubts = await read_console.exception_page(engine, _DOUBTED, before=0, limit=MOST_DOUBTS)
    drifts = await read_console.drifts(engine, since_us=visit.services.time.now_us() - DRIFT_SHOWN_US)
    troubles = {
        agent.device: _doubts_of(visit, agent, doubts)
        + troubles_of(visit, agent)
        + _drift_of(visit, drifts.get(agent.device))
        for agent in agents
    }
    values = {
        "agents": agents,
        "troubles": troubles,
        "conditions": conditions,
        "life": life,
        "backup": await read_console.last_backup(engine),
        "sentence": sentence(visit, agents, conditions, life),
        "waiting_keys": [(device, fingerprint(key)) for device, key in visit.services.device_keys.waiting],
        "is_open": visit.services.device_keys.enrolment is Enrolment.OPEN,
        "form": form,
        "cause": cause,
        "is_well": all(part.is_ok for part in conditions) and not any(troubles.values()),
    }
    return View(template="sync.html", values=values, status=status)


def sentence(visit: Visit, agents: list[AgentRow], conditions: tuple[Condition, ...], life: Life) -> str:
    """What staff need to know about sync, in one sentence (X07)."""
    say, count = visit.language.say, visit.language.count
    if life.is_refilling and life.waiting_for:
        return say(
            "Central was restored and is given back what it lacks; waited for: %(devices)s.",
            devices=say(", ").join(life.waiting_for),
        )
    broken = [visit.word("part", part.part) for part in conditions if not part.is_ok and part.part in ON_THE_WAY]
    behind = [agent.device for agent in agents if agent.facts_waiting]
    silent = [agent.device for agent in agents if not agent.is_connected]
    if broken:
        return say(
            "Scans are safe at the workplaces but not all reach the ledger, because of: %(parts)s.",
            parts=say(", ").join(broken),
        )
    if behind:
        waiting = count(
            "%(n)d scan is not in the ledger yet",
            "%(n)d scans are not in the ledger yet",
            sum(agent.facts_waiting for agent in agents),
        )
        return say("%(waiting)s; they are safe at %(devices)s.", waiting=waiting, devices=say(", ").join(behind))
    if silent:
        return say(
            "Not heard of lately: %(devices)s. What they scan meanwhile is kept there and comes later.",
            devices=say(", ").join(silent),
        )
    if not agents:
        return say("No agent has spoken to central yet.")
    return count(
        "%(n)d agent is in step: every scan it told of is in the ledger.",
        "All %(n)d agents are in step: every scan they told of is in the ledger.",
        len(agents),
    )


def _doubts_of(visit: Visit, agent: AgentRow, doubts: list[ExceptionRow]) -> list[Trouble]:
    """Its journal was set back, copied or lost: what is still open of that on the work list."""
    return [
        Trouble(
            cause=visit.language.say(
                "%(what)s: %(counts)s.", what=visit.word("reason", row.reason), counts=visit.terms(row.found)
            ),
            action=visit.word("advice", row.reason),
        )
        for row in doubts
        if row.device == agent.device
    ]


def _drift_of(visit: Visit, drift: RowMapping | None) -> list[Trouble]:
    if drift is None:
        return []
    say, when = visit.language.say, visit.local(drift["found_us"])
    if drift["items"] < 0:
        cause = say("Its replica was another than the ledger: all of it was copied anew at %(when)s.", when=when)
    else:
        cause = visit.language.count(
            "Its replica had drifted: %(n)d item was put right at %(when)s.",
            "Its replica had drifted: %(n)d items were put right at %(when)s.",
            drift["items"],
            when=when,
        )
    action = say(
        "It is right again and no scan is lost. If it happens once more, have the disk of the computer checked."
    )
    return [Trouble(cause=cause, action=action, is_serious=False)]


def troubles_of(visit: Visit, agent: AgentRow) -> list[Trouble]:
    say = visit.language.say
    found: list[Trouble] = []
    if not agent.is_connected:
        cause = say("Not heard of for %(span)s.", span=visit.span(_silent_s(visit, agent)))
        action = say("Look at power and network of the workplace. It goes on working and sends everything later.")
        found.append(Trouble(cause=cause, action=action))
    elif agent.facts_waiting:
        cause = visit.language.count("%(n)d fact is on its way.", "%(n)d facts are on their way.", agent.facts_waiting)
        action = say(
            "Nothing to do: they are safe at the workplace. If it stays for minutes, look at broker and network."
        )
        found.append(Trouble(cause=cause, action=action, is_serious=False))
    if agent.is_connected and agent.replica_lag > BEHIND:
        if agent.has_no_copy:
            cause = say("It has no copy of this ledger yet, or one from before a restore.")
        else:
            cause = say("Its replica is %(n)d versions behind.", n=agent.replica_lag)
        action = say("It pulls by itself. If the number grows, restart the agent: its replica is built anew.")
        found.append(Trouble(cause=cause, action=action, is_serious=False))
    if agent.recall_version < visit.services.recalls.version:
        cause = say("It has not confirmed the recalls in force.")
        action = say("Call the workplace: it takes them by itself once it is connected and has the recall key.")
        found.append(Trouble(cause=cause, action=action))
    offset_s = abs(agent.clock_offset_us or 0) / 1_000_000
    if offset_s > CLOCK_S:
        cause = say("Its clock is %(span)s off.", span=visit.span(offset_s))
        action = say(
            "Set the clock of the computer by network time. Facts keep their order; their times are corrected."
        )
        found.append(Trouble(cause=cause, action=action))
    return found


def _silent_s(visit: Visit, agent: AgentRow) -> float:
    return (visit.services.time.now_us() - agent.last_seen_us) / 1_000_000
