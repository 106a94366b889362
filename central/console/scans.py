"""Missed and forced scans by person and shift, each slip with its moment, and the same by day as a file."""

import asyncio
import datetime as dt
from collections.abc import Iterator, Sequence

import msgspec

from central.api.documents import Place, Text
from central.console.message import message
from central.console.paging import paged
from central.console.sheet import Cell, Sheet, listed
from central.console.visit import View, Visit
from central.errors import InvalidError
from central.indicators.scans import Line, Slip, events, lines
from central.ledger import read_console
from central.ledger.read_scans import Told, told

_USUAL_DAYS = 28
_MOST_DAYS = 366
_HEADS = (
    message("Day"),
    message("Shift"),
    message("Person"),
    message("Name"),
    message("Hand-outs"),
    message("Scanned late"),
    message("Not scanned"),
    message("Forced"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Without days the last four weeks. ``shift``: its number from 0."""

    day_from: dt.date | None = None
    day_to: dt.date | None = None
    person: Text = ""
    shift: Place | None = None
    slip: Slip | None = None
    page: Place = 1

    @property
    def is_filtered(self) -> bool:
        return bool(self.person or self.slip) or self.shift is not None

    def days(self, today: dt.date) -> tuple[dt.date, dt.date]:
        """Raises InvalidError."""
        last = self.day_to or today
        first = self.day_from or last - dt.timedelta(days=_USUAL_DAYS - 1)
        if not 1 <= (last - first).days + 1 <= _MOST_DAYS:
            expected = f"a day from {first} on, at most {_MOST_DAYS} days"
            raise InvalidError("day_to", last.isoformat(), expected, "choose other days")
        return first, last


async def show(visit: Visit) -> View:
    query, services = visit.query(Query), visit.services
    first, last, steps = await _steps(visit, query)
    names = await read_console.people_names(services.read, {one.operator for one in steps})
    names |= await read_console.people_names(services.read, {one.witness for one in steps})
    slips = [event for event in await asyncio.to_thread(events, steps) if query.slip in {None, event.slip}]
    found = await asyncio.to_thread(lines, steps, services.shifts, services.time.local)
    values = {
        "query": query,
        "first": first,
        "last": last,
        "lines": [line for line in found if line.all or query.person],
        "totals": {slip: sum(line.slips[slip] for line in found) for slip in Slip},
        "handed_out": sum(line.handed_out for line in found),
        "events": paged(slips, query.page),
        "slips": list(Slip),
        "shifts": [(str(n), services.shifts.name(n)) for n in range(len(services.shifts.starts))],
        "people": names,
    }
    return View(template="scans.html", values=values)


async def sheet(visit: Visit) -> Sheet:
    _, _, steps = await _steps(visit, visit.query(Query))
    shifts, local = visit.services.shifts, visit.services.time.local
    found = await asyncio.to_thread(lines, steps, shifts, local, is_by_day=True)
    names = await read_console.people_names(visit.services.read, {one.operator for one in steps})
    heads = visit.heads(_HEADS)
    return Sheet(name="scans", heads=heads, rows=listed(_rows(visit, found, names)))


async def _steps(visit: Visit, query: Query) -> tuple[dt.date, dt.date, list[Told]]:
    time, shifts = visit.services.time, visit.services.shifts
    first, last = query.days(time.today())
    until_us = time.midnight_us(last + dt.timedelta(days=1))
    steps = await told(visit.services.read, since_us=time.midnight_us(first), until_us=until_us)
    steps = [one for one in steps if query.person in {"", one.operator}]
    if query.shift is not None:
        steps = [one for one in steps if shifts.of(time.local(one.us))[1] == query.shift]
    return first, last, steps


def _rows(visit: Visit, found: Sequence[Line], names: dict[str, str]) -> Iterator[Sequence[Cell]]:
    for line in found:
        shift = visit.services.shifts.name(line.shift)
        slips = (line.slips[slip] for slip in Slip)
        yield line.day, shift, line.person, names.get(line.person, ""), line.handed_out, *slips
