"""What a soak came to: one JSON document, and a table for people."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hardware_sims.soak import checker
from hardware_sims.soak.checker import Finding
from hardware_sims.soak.nemesis import Decision, Plan
from hardware_sims.soak.storm import Event, Recovery

_SHOWN = 12


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as seen by who made it happen. ``amiss``: what had not converged when time was up."""

    plan: Plan
    began_us: int
    worked_s: float
    converged_s: float
    amiss: str
    events: tuple[Event, ...]
    recoveries: tuple[Recovery, ...]
    lines: dict[str, dict[str, int]]
    peak_mb: dict[str, float]
    troubles: dict[str, int]
    last_troubles: dict[str, str]
    recalls_ordered: int
    recalls_lifted: int
    unverified: str = ""
    """What ``codepool-central verify`` found in the ledger."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    count: int
    p50_s: float
    p95_s: float
    worst_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``facts_lost`` and the like count what ``problems`` names. ``decisions`` follow from the seed alone."""

    passed: bool
    seed: int
    minutes: float
    rounds: int
    agents: list[str]
    broker: str
    facts_in_ledger: int
    facts_per_s: float
    facts_lost: int
    facts_twice: int
    conservation_violations: int
    chain_breaks: int
    ledger_state_mismatches: int
    replica_mismatches: int
    facts_invented: int
    misplaced: int
    recalls_ordered: int
    recalls_lifted: int
    recalls_not_held: int
    converged_s: float
    not_converged: str
    calm_scan_to_ledger: Spread | None
    kills: dict[str, int]
    cuts: int
    drained_after_kill: dict[str, Spread]
    """Of kills that nothing else disturbed, from the process answering again; ``any``: all of them."""
    ready_after_kill: dict[str, Spread]
    not_drained: int
    peak_memory_mb: dict[str, float]
    screens_gone: dict[str, int]
    last_of_screens: dict[str, str]
    exceptions: dict[str, int]
    lines: dict[str, dict[str, int]]
    lost: list[str]
    problems: list[str]
    decisions: list[Decision]
    events: list[Event]
    recoveries: list[Recovery]


def report(
    course: Course, directory: Path, agents: Sequence[str], *, broker: str, minutes: float, rounds: int
) -> Report:
    """Audit the files and put everything together. Raises PaperError."""
    finding = checker.check(directory, agents)
    evidence = checker.read(directory, agents)
    spans = [
        (course.began_us + int(calm.from_s * 1e6), course.began_us + int(calm.to_s * 1e6)) for calm in course.plan.calms
    ]
    found = problems(finding, course)
    if rounds:
        found += [f"not drained after the kill of {one.target}" for one in course.recoveries if one.drained_s is None]
    quiet = [one for one in course.recoveries if one.is_undisturbed]
    kills = [one.target for one in course.recoveries]
    return Report(
        passed=not found,
        seed=course.plan.seed,
        minutes=minutes,
        rounds=rounds,
        agents=list(agents),
        broker=broker,
        facts_in_ledger=finding.facts,
        facts_per_s=round(finding.facts / course.worked_s, 2),
        facts_lost=len(finding.lost),
        facts_twice=len(finding.twice),
        conservation_violations=len(finding.conservation),
        chain_breaks=len(finding.chains),
        ledger_state_mismatches=len(finding.state),
        replica_mismatches=len(finding.replicas),
        facts_invented=len(finding.invented),
        misplaced=len(finding.places),
        recalls_ordered=course.recalls_ordered,
        recalls_lifted=course.recalls_lifted,
        recalls_not_held=len(finding.recalls),
        converged_s=round(course.converged_s, 2),
        not_converged=course.amiss,
        calm_scan_to_ledger=None if rounds else spread(checker.latencies_s(evidence, spans)),
        kills={target: kills.count(target) for target in sorted(set(kills))},
        cuts=sum(counts.get("cuts", 0) for counts in course.lines.values()),
        drained_after_kill=_by_target(quiet, lambda one: one.drained_s),
        ready_after_kill=_by_target(course.recoveries, lambda one: one.ready_s),
        not_drained=sum(one.drained_s is None for one in course.recoveries),
        peak_memory_mb=course.peak_mb,
        screens_gone=course.troubles,
        last_of_screens=course.last_troubles,
        exceptions=finding.exceptions,
        lines=course.lines,
        lost=list(finding.lost),
        problems=found,
        decisions=[] if rounds else list(course.plan.decisions),
        events=list(course.events),
        recoveries=list(course.recoveries),
    )


def problems(finding: Finding, course: Course) -> list[str]:
    """Everything that is wrong, in words."""
    found = [f"not converged: {course.amiss}"] if course.amiss else []
    found += [f"verify: {course.unverified}"] if course.unverified else []
    for name in ("lost", "twice", "conservation", "chains", "state", "replicas", "invented", "places", "recalls"):
        found += [f"{name}: {text}" for text in getattr(finding, name)]
    return found


def spread(seconds: Iterable[float]) -> Spread | None:
    """None of nothing."""
    ranked = sorted(seconds)
    if not ranked:
        return None
    return Spread(
        count=len(ranked),
        p50_s=round(ranked[(len(ranked) - 1) // 2], 3),
        p95_s=round(ranked[-(-95 * len(ranked) // 100) - 1], 3),
        worst_s=round(ranked[-1], 3),
    )


def table(found: Report) -> str:
    """For a terminal: figures, then what is wrong."""
    values: dict[str, Any] = msgspec.to_builtins(found)
    lines = [f"  {name:<25}  {_cell(value)}" for name, value in values.items() if name not in _LONG]
    lines += [f"  ✗ {text}" for text in found.problems[:_SHOWN]]
    if len(found.problems) > _SHOWN:
        lines.append(f"  ✗ … and {len(found.problems) - _SHOWN} more (all of them in the JSON)")
    return "\n".join(lines)


_LONG = frozenset({"lost", "problems", "decisions", "events", "recoveries", "lines", "last_of_screens"})


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(each)}" for name, each in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value)


def _by_target(recoveries: Iterable[Recovery], seconds: Callable[[Recovery], float | None]) -> dict[str, Spread]:
    by_target: dict[str, list[float]] = {}
    for one in recoveries:
        found = seconds(one)
        if found is not None:
            by_target.setdefault(one.target, []).append(found)
            by_target.setdefault("any", []).append(found)
    spreads = {target: spread(found) for target, found in sorted(by_target.items())}
    return {target: found for target, found in spreads.items() if found is not None}
