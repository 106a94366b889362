"""From the bytes of a fact to a fact that the ledger can fold and file. They come from outside, so all may be wrong."""

from sync_protocol.codec import decode_fact
from sync_protocol.errors import FactError, WireError
from sync_protocol.facts import LAST_US, Fact, What, is_date

MAX_UNITS_OF_FACT = 50_000
"""Units that one pre-scan may create: its rows must fit one delta."""
_DAY_MIN = 24 * 60
_MAX_INT = 2**63 - 1


def flaw(body: bytes) -> tuple[Fact | None, str]:
    """The fact, or why the bytes are none that the ledger can take: such bytes are kept and put on the work list."""
    try:
        fact = decode_fact(body)
        at = fact.at
        has_dates = 0 <= at.wall_us <= LAST_US and 0 <= at.corrected_us <= LAST_US
        has_zone = -_DAY_MIN <= at.zone_min <= _DAY_MIN
        if not (has_dates and has_zone and len(fact.codes) * fact.units <= MAX_UNITS_OF_FACT):
            _check(fact)
    except (FactError, WireError) as error:
        return None, str(error)
    return fact, ""


def _check(fact: Fact) -> None:
    """Raises FactError."""
    at = fact.at
    if not is_date(at.wall_us):
        raise FactError("at.wall_us", str(at.wall_us), f"0 to {LAST_US}")
    if not is_date(at.corrected_us):
        raise FactError("at.offset_us", str(at.offset_us), "an offset that leads to a date")
    if abs(at.zone_min) > _DAY_MIN:
        raise FactError("at.zone_min", str(at.zone_min), f"at most {_DAY_MIN} minutes from UTC")
    if fact.what is What.PRESCANNED and len(fact.codes) * fact.units > MAX_UNITS_OF_FACT:
        raise FactError("units", f"{len(fact.codes)} boxes of {fact.units}", f"at most {MAX_UNITS_OF_FACT} in one fact")


def fits_integer(*numbers: int) -> bool:
    """Whether numbers from outside can stand in a column."""
    return all(-_MAX_INT <= number <= _MAX_INT for number in numbers)
