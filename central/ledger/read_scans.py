"""Steps that need a scan, as they were told: with which evidence, by whom, and what no scan had prepared."""

from collections import defaultdict
from typing import Any

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.happened import happened_us
from central.ledger.read_figures import first_position, windows
from sync_protocol.codec import decode_fact
from sync_protocol.errors import ProtocolError
from sync_protocol.facts import Fact, How, What

SCAN_STEPS = (What.RECEIVED, What.TRANSFERRED_IN, What.PRESCANNED, What.DISPENSED, What.RETURNED)
_FACTS = text(
    "SELECT position, body, received_us FROM fact WHERE position BETWEEN :low AND :high AND what IN :steps "
    "ORDER BY position"
).bindparams(bindparam("steps", value=[str(what) for what in SCAN_STEPS], expanding=True))
# A hand-out of what the ledger did not know, or of what lay in stock without a lock and was not scanned late.
_UNSCANNED = text(
    "SELECT position, code FROM exception WHERE position >= :first AND what = 'dispensed' "
    "AND (reason = 'unknown_code' OR (reason = 'wrong_state' AND state = 'in_stock')) ORDER BY position, code"
)


class Told(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A step at a workplace. ``unscanned``: codes that it handed out and that no scan had prepared."""

    position: int
    us: int
    what: str
    codes: tuple[str, ...]
    operator: str
    witness: str
    order: str
    reason: str
    is_late: bool
    is_forced: bool
    unscanned: tuple[str, ...] = ()


async def told(engine: AsyncEngine, *, since_us: int, until_us: int) -> list[Told]:
    """Steps that happened in [since, until), in the order of the ledger."""
    unscanned: dict[int, list[str]] = defaultdict(list)
    async with engine.connect() as connection:
        first = await first_position(connection, since_us)
        for position, code in await connection.execute(_UNSCANNED, {"first": first}):
            unscanned[position].append(code)
        found = []
        async for rows in windows(connection, _FACTS, first=first):
            for position, body, received_us in rows:
                us = happened_us(body, received_us)
                if since_us <= us < until_us:
                    found.append(_told(position, us, body, tuple(unscanned.get(position, ()))))
    return [one for one in found if one is not None]


def _told(position: int, us: int, body: bytes, unscanned: tuple[str, ...]) -> Told | None:
    try:
        fact = decode_fact(body)
    except ProtocolError:  # it is on the work list as unreadable
        return None
    fields: dict[str, Any] = {name: getattr(fact, name) for name in ("codes", "operator", "witness", "order", "reason")}
    return Told(
        position=position,
        us=us,
        what=str(fact.what),
        # What was written on paper in an outage was missed by nobody.
        is_late=fact.what is What.DISPENSED and fact.how is How.LATE_SCAN and fact.paper is None,
        is_forced=is_forced(fact),
        unscanned=unscanned,
        **fields,
    )


def is_forced(fact: Fact) -> bool:
    """An override is a step with a reason and a second person; a controlled drug alone has a second person only."""
    has_two = bool(fact.reason and fact.witness) and fact.witness != fact.operator
    return has_two and fact.what in SCAN_STEPS and not fact.undoes_hand_out
