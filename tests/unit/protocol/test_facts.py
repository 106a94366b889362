"""A fact is validated when it is built and when it is read, and says what is wrong with it."""

import datetime as dt
import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.codec import decode_fact, encode_fact
from sync_protocol.errors import FactError
from sync_protocol.facts import MAX_TEXT, Fact, Moment, What

TEXTS = ("operator", "witness", "location", "document", "order", "source", "product", "lot", "reason")
MICROSECOND = dt.timedelta(microseconds=1)


def a_fact(**changes: Any) -> Fact:
    known: dict[str, Any] = {"what": What.TAKEN, "codes": ("c1",), "at": Moment(wall_us=1, mono_us=1), "operator": "n1"}
    return Fact(**known | changes)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_too_long_is_named(name: str) -> None:
    with pytest.raises(FactError, match=f"{name}.*{MAX_TEXT + 1} characters"):
        a_fact(**{name: "x" * (MAX_TEXT + 1)})


def test_texts_may_be_as_long_as_allowed_all_at_once() -> None:
    fact = a_fact(**dict.fromkeys(TEXTS, "药" * MAX_TEXT))
    assert decode_fact(encode_fact(fact)) == fact


@pytest.mark.parametrize(
    ("codes", "found"),
    [((), "0 codes"), (("c1", "c1"), "a code twice"), (("",), "an empty code"), (("a", ""), "empty")],
)
def test_codes_that_name_nothing_or_twice_the_same_are_refused(codes: tuple[str, ...], found: str) -> None:
    with pytest.raises(FactError, match=found):
        a_fact(codes=codes)


@given(
    st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2100, 1, 1)),  # noqa: DTZ001 - civil times, as the test compares
    st.integers(-720, 840),
    st.none() | st.integers(-(10**12), 10**12),
)
def test_the_local_date_is_what_a_calendar_says(civil: dt.datetime, zone_min: int, offset_us: int | None) -> None:
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001
    wall_us = (civil - epoch) // MICROSECOND - zone_min * 60_000_000 - (offset_us or 0)
    moment = Moment(wall_us=wall_us, mono_us=0, offset_us=offset_us, zone_min=zone_min)
    assert moment.local_date() == civil.date()


@pytest.mark.parametrize("wall_us", [0, -1, 86_399_999_999, 86_400_000_000])
def test_a_day_ends_with_its_last_microsecond(wall_us: int) -> None:
    expected = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + wall_us * MICROSECOND).date()
    assert Moment(wall_us=wall_us, mono_us=0, zone_min=0).local_date() == expected


def test_no_search_for_cycles_visits_a_fact() -> None:
    fact = decode_fact(encode_fact(a_fact()))
    assert not gc.is_tracked(fact)
    assert not gc.is_tracked(fact.at)
