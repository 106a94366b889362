"""The books of one played morning as JSON and as a table for people."""

from pathlib import Path
from typing import TypeVar

import msgspec

from hardware_sims.books.audit import Findings, audit
from hardware_sims.books.papers import JOURNAL, LEDGER, REPLICA, PaperError, read_journal, read_ledger, read_replica
from hardware_sims.platforms.insurer_counter import SaleRow
from hardware_sims.truth import Truth

TRUTH = "truth.json"
SALES = "insurer.json"
DIARY = "diary.json"
CENTRAL = "central"
_SHOWN = 12
_T = TypeVar("_T")


class Diary(msgspec.Struct, kw_only=True):
    """What the scenario saw with its own eyes."""

    seed: int
    broker: str
    agents: list[str]
    scans_refused: dict[str, int] = {}
    faults_injected: list[str] = []
    orders_repeated: int = 0
    pouches_made: int = 0
    duration_s: float = 0.0


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a morning. The first keys are the promised ones; the rest says more."""

    seed: int
    agents: int
    boxes_prescanned: int
    units_created: int
    orders: int
    units_dispensed: int
    pieces_received: int
    pieces_taken: int
    pieces_put_back: int
    pieces_used: int
    scans_refused: dict[str, int]
    insurer_rows_accepted: int
    insurer_upload_rate: float
    facts_journalled: int
    facts_in_ledger: int
    facts_lost: int
    facts_twice: int
    conservation_violations: int
    exceptions: dict[str, int]
    faults_injected: list[str]
    duration_s: float
    broker: str
    boxes_received: int
    boxes_dispensed: int
    units_packed: int
    pouches_made: int
    orders_by_state: dict[str, int]
    orders_repeated: int
    facts_altered: int
    ledger_state_mismatches: int
    replica_mismatches: int
    truth_mismatches: int
    insurer_mismatches: int
    problems: list[str]
    is_balanced: bool


def check(directory: Path) -> Books:
    """Audit the stores in a demo's folder. Raises PaperError if one cannot be read."""
    diary = _load(directory / DIARY, Diary)
    truth = _load(directory / TRUTH, Truth)
    sales = _load(directory / SALES, list[SaleRow])
    journals = [read_journal(directory / agent / JOURNAL) for agent in diary.agents]
    ledger = read_ledger(directory / CENTRAL / LEDGER)
    replicas = [read_replica(agent, directory / agent / REPLICA) for agent in diary.agents]
    findings = audit(journals, replicas, ledger, truth, sales)
    states = [order.state for order in ledger.orders.values()]
    return _books(diary, findings, rows=len(sales), exceptions=ledger.exceptions, states=states)


def _books(diary: Diary, findings: Findings, *, rows: int, exceptions: dict[str, int], states: list[str]) -> Books:
    counts, delivery = findings.story.counts, findings.delivery
    units = [thing for thing in findings.story.things.values() if thing.kind == "unit"]
    return Books(
        seed=diary.seed,
        agents=len(diary.agents),
        boxes_prescanned=counts["prescanned", "box"],
        units_created=len(units),
        orders=len(states),
        units_dispensed=counts["dispensed", "unit"],
        pieces_received=counts["received", "piece"],
        pieces_taken=counts["taken", "piece"],
        pieces_put_back=counts["put_back", "piece"],
        pieces_used=counts["dispensed", "piece"],
        scans_refused=dict(sorted(diary.scans_refused.items())),
        insurer_rows_accepted=rows,
        insurer_upload_rate=findings.upload_rate,
        facts_journalled=delivery.journalled,
        facts_in_ledger=delivery.in_ledger,
        facts_lost=len(delivery.lost),
        facts_twice=len(delivery.twice),
        conservation_violations=len(findings.conservation),
        exceptions=dict(sorted(exceptions.items())),
        faults_injected=diary.faults_injected,
        duration_s=round(diary.duration_s, 1),
        broker=diary.broker,
        boxes_received=counts["received", "box"],
        boxes_dispensed=counts["dispensed", "box"],
        units_packed=counts["packed", "unit"],
        pouches_made=diary.pouches_made,
        orders_by_state={state: states.count(state) for state in sorted(set(states))},
        orders_repeated=diary.orders_repeated,
        facts_altered=len(delivery.altered),
        ledger_state_mismatches=len(findings.state),
        replica_mismatches=len(findings.replicas),
        truth_mismatches=len(findings.truth),
        insurer_mismatches=len(findings.insurer),
        problems=problems(findings),
        is_balanced=findings.has_balanced,
    )


def problems(findings: Findings) -> list[str]:
    """Everything that does not agree, in words."""
    delivery = findings.delivery
    return [
        *(f"lost: {text}" for text in delivery.lost),
        *(f"twice: {text}" for text in delivery.twice),
        *(f"altered: {text}" for text in delivery.altered),
        *(f"conservation: {text}" for text in findings.conservation),
        *(f"ledger: {text}" for text in findings.state),
        *(f"replica: {text}" for text in findings.replicas),
        *(f"truth: {text}" for text in findings.truth),
        *(f"insurer: {text}" for text in findings.insurer),
    ]


def table(books: Books) -> str:
    """The books for a terminal: counts, then what does not agree."""
    shown = msgspec.to_builtins(books)
    found = shown.pop("problems")
    width = max(map(len, shown))
    lines = [f"  {name:<{width}}  {_cell(value)}" for name, value in shown.items()]
    lines += [f"  ✗ {text}" for text in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"  ✗ … and {len(found) - _SHOWN} more (all of them in the JSON)")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value)


def _load(path: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise PaperError(f"{path}: {error}") from error
