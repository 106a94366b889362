"""What a soak left on the disks, compared by a stranger: journals, ledger, replicas, physical log. Files only.

Lost is a fact that the ledger lacks though a journal holds it, or though a screen said that it was done. Twice is one
that the ledger has more often than it happened.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from hardware_sims.books import audit
from hardware_sims.books.papers import (
    JOURNAL,
    LEDGER,
    REPLICA,
    Journal,
    Ledger,
    read_journal,
    read_ledger,
    read_replica,
)
from hardware_sims.books.refold import Story, read_fact, refold
from hardware_sims.catalogue import BY_ID
from hardware_sims.soak import physical
from hardware_sims.soak.physical import DONE, Act, Mark

PHYSICAL = "physical.jsonl"
CENTRAL = "central"
_MOVES = {"taken": Act.TAKEN_OUT, "put_back": Act.PUT_IN}
_ONCE = ("received", "prescanned", "dispensed")
_GONE = frozenset({"dispensed", "frozen", "abnormal"})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is not as it should be, in words that name the fact; empty where all is well."""

    facts: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    conservation: tuple[str, ...]
    chains: tuple[str, ...]
    state: tuple[str, ...]
    replicas: tuple[str, ...]
    invented: tuple[str, ...]
    places: tuple[str, ...]
    recalls: tuple[str, ...]
    exceptions: dict[str, int]

    @property
    def is_clean(self) -> bool:
        return not any(getattr(self, name) for name in self.__struct_fields__ if name not in {"facts", "exceptions"})


class _Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of an agent, as the ledger has it, for one code."""

    agent: str
    what: str
    code: str
    order: str
    received_us: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All files of a soak, read."""

    journals: tuple[Journal, ...]
    ledger: Ledger
    marks: tuple[Mark, ...]
    facts: tuple[_Fact, ...]


def read(directory: Path, agents: Iterable[str]) -> Evidence:
    """Raises PaperError."""
    journals = tuple(read_journal(directory / agent / JOURNAL) for agent in agents)
    ledger = read_ledger(directory / CENTRAL / LEDGER)
    marks = tuple(physical.read(directory / PHYSICAL))
    return Evidence(journals=journals, ledger=ledger, marks=marks, facts=tuple(_facts(journals, ledger)))


def check(directory: Path, agents: Iterable[str]) -> Finding:
    """Raises PaperError."""
    names = tuple(agents)
    evidence = read(directory, names)
    ledger, story = evidence.ledger, refold(evidence.ledger.entries)
    delivery = audit.delivery(list(evidence.journals), ledger)
    replicas = [read_replica(agent, directory / agent / REPLICA) for agent in names]
    contents = {item.code: BY_ID[item.product].units for item in ledger.items.values() if item.product in BY_ID}
    promised_lost, promised_twice = _promises(evidence)
    return Finding(
        facts=delivery.in_ledger,
        lost=(*delivery.lost, *promised_lost),
        twice=(*delivery.twice, *promised_twice),
        conservation=tuple(audit.unbalanced(ledger, contents)),
        chains=(*delivery.altered, *ledger.breaks),
        state=tuple(audit.misfolded(ledger, story)),
        replicas=tuple(text for replica in replicas for text in audit.behind(replica, ledger)),
        invented=tuple(_invented(evidence)),
        places=tuple(_misplaced(evidence, story)),
        recalls=tuple(_uncovered(evidence)),
        exceptions=ledger.exceptions,
    )


def latencies_s(evidence: Evidence, spans_us: Iterable[tuple[int, int]]) -> list[float]:
    """From the scan under the scanner to its commit in the ledger, for boxes that were scanned within these spans."""
    spans = list(spans_us)
    committed = {(fact.agent, fact.code): fact.received_us for fact in evidence.facts if fact.what == "prescanned"}
    first: dict[tuple[str, str], int] = {}
    for mark in evidence.marks:
        if mark.act is Act.SCANNED and mark.step == "prescanned":
            first.setdefault((mark.agent, mark.codes[0]), mark.at_us)
    return sorted(
        (committed[key] - at_us) / 1e6
        for key, at_us in first.items()
        if key in committed and any(start <= at_us < end for start, end in spans)
    )


def _facts(journals: Iterable[Journal], ledger: Ledger) -> Iterator[_Fact]:
    devices = {journal.device for journal in journals}
    for entry in ledger.entries:
        fact = read_fact(entry) if entry.device in devices else None
        for code in fact["codes"] if fact else ():
            assert fact is not None, "it has codes"
            yield _Fact(
                agent=entry.device,
                what=fact["what"],
                code=code,
                order=fact.get("order", ""),
                received_us=entry.received_us,
            )


def _promises(evidence: Evidence) -> tuple[list[str], list[str]]:
    """What screens said was done against what the ledger has; a piece may move often, all else happens once a code."""
    recorded = Counter((fact.agent, fact.what, fact.code) for fact in evidence.facts)
    shown: Counter[tuple[str, str, str]] = Counter()
    moved: Counter[tuple[str, Act, str]] = Counter()
    for mark in evidence.marks:
        for code in mark.codes:
            if mark.act is Act.SHOWN and mark.result == DONE:
                shown[mark.agent, mark.step, code] += 1
            elif mark.act in _MOVES.values():
                moved[mark.agent, mark.act, code] += 1
    lost, twice = [], []
    for (agent, what, code), times in shown.items():
        # A scan whose first answer was lost is shown again: of these one fact is enough.
        expected = times if what in _MOVES else 1
        if recorded[agent, what, code] < expected:
            lost.append(
                f"{agent}: the screen showed {what} {code} {times} times, the ledger has {recorded[agent, what, code]}"
            )
    for (agent, what, code), times in recorded.items():
        allowed = moved[agent, _MOVES[what], code] if what in _MOVES else 1
        if (what in _MOVES or what in _ONCE) and times > allowed:
            twice.append(f"{agent}: {what} {code} is {times} times in the ledger, it happened {allowed} times")
    return lost, twice


def _invented(evidence: Evidence) -> Iterator[str]:
    """Facts of agents for which nobody moved a hand."""
    causes = {(mark.agent, code) for mark in evidence.marks if mark.act is not Act.SHOWN for code in mark.codes}
    for fact in evidence.facts:
        if (fact.agent, fact.code) not in causes:
            yield f"{fact.agent}: {fact.what} {fact.code} is in the ledger, and nobody scanned or moved it there"


def _misplaced(evidence: Evidence, story: Story) -> Iterator[str]:
    """Where a thing really is, at the end, other than the ledger says."""
    inside: dict[str, bool] = {}
    for mark in evidence.marks:
        if mark.act in _MOVES.values():
            inside |= dict.fromkeys(mark.codes, mark.act is Act.PUT_IN)
    for code, is_inside in inside.items():
        thing = story.things.get(code)
        expected = {"in_stock", "frozen", "expected"} if is_inside else {"taken", "frozen"}
        if thing is None or thing.state not in expected:
            yield f"{code} is {'in' if is_inside else 'out of'} its cabinet, the ledger says {_state(story, code)}"
    for mark in evidence.marks:
        if mark.act is Act.POUCHED:
            for code in mark.codes:
                unit = story.things.get(code)
                if unit is None or (unit.state not in _GONE and not unit.pouch):
                    yield f"{code} lies in a pouch of order {mark.order}, the ledger says {_state(story, code)}"


def _state(story: Story, code: str) -> str:
    thing = story.things.get(code)
    return thing.state if thing else "nothing"


def _uncovered(evidence: Evidence) -> Iterator[str]:
    """Agents that do not hold the recalls that central has signed."""
    wanted = evidence.ledger.recall_version
    for journal in evidence.journals:
        if journal.recall_version != wanted:
            yield f"{journal.device} holds recall set {journal.recall_version}, central signed {wanted}"


def summary(finding: Finding) -> dict[str, Any]:
    """Counts by name."""
    found = msgspec.to_builtins(finding)
    return {name: len(value) for name, value in found.items() if isinstance(value, list | tuple)}
