"""What the pages show of sheets of paper: those that wait, the chosen one, and the line that is scanned back (A22)."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edge_agent.workflows.desk import Desk
from edge_agent.workflows.sheet_line import OpenLine, Written
from edge_agent.workflows.sheets import Why
from edge_agent.workflows.verdicts import Step
from sync_protocol.sheets import Sheet
from sync_protocol.symbols import symbol


def of_desk(desk: Desk) -> Mapping[str, Any]:
    """What a seat's panels need."""
    sheets, bench = desk.steps.sheets, desk.steps.bench
    is_here = desk.step is Step.SHEETS
    kept = sheets.find(desk.choice) if is_here and desk.choice else None
    line = sheets.line(desk.choice, desk.picked) if kept is not None and desk.picked else None
    zone_min = bench.recorder.moment().zone_min

    def name_of(person_id: str) -> str:
        person = bench.stock.person(person_id)
        return person.name if person is not None else person_id

    return {
        "papers": sheets.outstanding() if is_here and kept is None else (),
        "papers_open": sheets.count,
        "kept": kept,
        "paper_line": line,
        "written": _suggested(desk, line, zone_min) if line is not None else None,
        "became": sheets.facts(desk.choice) if kept is not None and line is None else {},
        "open_orders": sheets.open_orders() if is_here and kept is None else 0,
        "whys": Why,
        "name_of": name_of,
        "minute": minute_in(zone_min),
        "ordering_wards": desk.steps.lending.wards() if line is not None and not line.order_id else (),
    }


def of_print(sheet: Sheet, *, language: str, zone_min: int) -> Mapping[str, Any]:
    """What the printed page needs."""
    return {"sheet": sheet, "symbol": symbol, "local": minute_in(zone_min), "language": language, "back": "/"}


def minute_in(zone_min: int) -> Callable[[int], str]:
    """Day and time of the hospital, to the minute."""
    zone = dt.timezone(dt.timedelta(minutes=zone_min))

    def minute(us: int) -> str:
        return f"{dt.datetime.fromtimestamp(us / 1e6, zone):%Y-%m-%d %H:%M}"

    return minute


def _suggested(desk: Desk, line: OpenLine, zone_min: int) -> Written:
    """What stands in the form: what was typed before, or the day and the hands of the line before."""
    if line.scanned.written is not None:
        return line.scanned.written
    last = desk.steps.sheets.last(desk.choice)
    if last is not None:
        return msgspec.structs.replace(last, time="", witness=last.witness if line.needs_witness else "")
    moment = desk.steps.bench.recorder.moment()
    day = minute_in(zone_min)(line.sheet.sheet.printed_us or moment.corrected_us)[:10]
    return Written(day=day, time="", quantity=line.quantity, operator="")
