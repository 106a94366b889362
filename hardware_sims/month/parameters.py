"""What is assumed of the hospital and its staff: it goes in. None of the figures of the table is among it."""

from enum import IntEnum
from typing import Annotated

import msgspec

DAYS = 28
"""Of each period: four weeks, so that a week is a point of the upload rate."""
MOST_PRODUCTS = 500
KINDS = ("stat", "long_term", "discharge")


class Period(IntEnum):
    """The paper's three: what staff do about codes."""

    NO_CODES = 0
    """Nothing is scanned; billing alone knows what went out."""
    BY_HAND = 1
    """Boxes are received by scan; each unit is to be scanned at its hand-out."""
    POOL = 2
    """Boxes are pre-scanned when they come; the pool gives the codes."""


def chance(about: str) -> msgspec.Meta:
    return msgspec.Meta(ge=0, le=1, title="chance", description=about)


def minutes(about: str) -> msgspec.Meta:
    return msgspec.Meta(ge=0, title="min", description=about)


def seconds(about: str) -> msgspec.Meta:
    return msgspec.Meta(ge=0, title="s", description=about)


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    split_share: Annotated[float, chance("a product is a split drug")] = 0.8
    stat_share: Annotated[float, chance("an order is stat")] = 0.25
    discharge_share: Annotated[float, chance("an order is discharge medication; the rest is long-term")] = 0.15
    review_stat: Annotated[float, minutes("until a stat order is reviewed and printed, on average")] = 8.0
    review_long_term: Annotated[float, minutes("the same of a long-term order")] = 25.0
    review_discharge: Annotated[float, minutes("the same of discharge medication")] = 12.0
    pick: Annotated[float, minutes("to pick and check one order, on average")] = 3.0
    busy: Annotated[
        float, chance("a pharmacist is at work in the busiest hours of the first period; sets how many")
    ] = 0.65
    scan: Annotated[float, seconds("to scan one code at a hand-out: find it, scan, look at the screen")] = 45.0
    prescan: Annotated[float, seconds("to pre-scan one box when it comes")] = 8.0
    unscanned_unit: Annotated[
        float, chance("units go out unscanned where each must be scanned and nothing stops them")
    ] = 0.6
    unscanned_box: Annotated[float, chance("the same of whole boxes")] = 0.1
    missed_prescan: Annotated[float, chance("a box is shelved without its pre-scan; a late scan makes up for it")] = (
        0.02
    )
    wrong_pick: Annotated[float, chance("the wrong drug is picked")] = 0.006
    wrong_pick_shown: Annotated[float, chance("the same where the screen names box and lot")] = 0.002
    caught: Annotated[float, chance("a second person sees a wrong pick that no scan has stopped")] = 0.8
    miscount: Annotated[float, chance("a count of one product is off by one")] = 0.04
    returned: Annotated[float, chance("of an order with codes something comes back")] = 0.02
    loan: Annotated[float, chance("a stat order comes after the drug was lent to the ward")] = 0.04
    damaged: Annotated[float, chance("something breaks, for each order")] = 0.004

    def of_review(self, kind: str) -> float:
        """Minutes, on average."""
        means: dict[str, float] = {
            "stat": self.review_stat,
            "long_term": self.review_long_term,
            "discharge": self.review_discharge,
        }
        return means[kind]

    def pharmacists(self, orders_a_day: float) -> int:
        """On duty. In the busiest three hours a long-term order comes in each third of the time, a stat one as ever."""
        an_hour = orders_a_day * ((1 - self.stat_share - self.discharge_share) / 3 + self.stat_share / 16)
        return max(1, -(-int(1000 * an_hour * self.pick / 60 / self.busy) // 1000))


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter for people. ``unit``: chance, min or s."""

    name: str
    value: float
    unit: str
    about: str


def told(parameters: Parameters) -> list[Told]:
    found = []
    for field in msgspec.structs.fields(Parameters):
        (meta,) = field.type.__metadata__
        value = getattr(parameters, field.name)
        found.append(Told(name=field.name, value=value, unit=meta.title, about=meta.description))
    return found
