"""Sign-in by PIN and badge; wrong PINs lock a person out, and a restart does not help."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import argon2
import pytest

from edge_agent.errors import SignInRefusedError
from edge_agent.people import FIRST_LOCK_S, TRIES, People, SignInFlaw
from sync_protocol.documents import Person
from tests.unit.edge_core.shelf import Shelf

PIN = "2468"
_HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PIN)
ANNA = Person(id="n1", name="安娜", badge="B-1", pin=_HASH)
GONE = Person(id="n2", name="赵离岗", badge="B-2", pin=_HASH, is_active=False)
NO_PIN = Person(id="n3", name="无密码", badge="B-3")


async def _people(shelf: Shelf) -> People:
    if shelf.stock.person("n1") is None:
        await shelf.load(people=(ANNA, GONE, NO_PIN))
    return People(journal=shelf.journal, stock=shelf.stock, now_us=shelf.clock.wall_us)


async def _refusal(signing_in: Awaitable[Person]) -> tuple[str, int]:
    with pytest.raises(SignInRefusedError) as refused:
        await signing_in
    return refused.value.reason, refused.value.wait_s


async def test_pin_and_badge_name_the_same_person(shelf: Shelf) -> None:
    people = await _people(shelf)
    assert await people.by_pin("n1", PIN) == await people.by_badge("B-1") == ANNA


async def test_a_stranger_and_a_wrong_pin_get_the_same_answer(shelf: Shelf) -> None:
    people = await _people(shelf)
    assert await _refusal(people.by_pin("nobody", PIN)) == (SignInFlaw.WRONG, 0)
    assert await _refusal(people.by_pin("n1", "0000")) == (SignInFlaw.WRONG, 0)
    assert await _refusal(people.by_pin("n3", "")) == (SignInFlaw.WRONG, 0)


async def test_who_has_left_and_an_unknown_badge_are_refused(shelf: Shelf) -> None:
    people = await _people(shelf)
    assert await _refusal(people.by_badge("B-2")) == (SignInFlaw.INACTIVE, 0)
    assert await _refusal(people.by_pin("n2", PIN)) == (SignInFlaw.INACTIVE, 0)
    assert await _refusal(people.by_badge("B-9")) == (SignInFlaw.UNKNOWN_BADGE, 0)
    assert await _refusal(people.by_badge("")) == (SignInFlaw.UNKNOWN_BADGE, 0)


async def test_five_wrong_pins_lock_out_also_after_a_restart_until_the_time_is_over(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    people = await _people(shelf)
    answers = [await _refusal(people.by_pin("n1", "0000")) for _ in range(TRIES)]
    assert [reason for reason, _ in answers] == [SignInFlaw.WRONG] * TRIES
    assert answers[-1][1] == FIRST_LOCK_S
    assert (await _refusal(people.by_pin("n1", PIN)))[0] == SignInFlaw.LOCKED
    shelf.close()
    restarted = Shelf(tmp_path)
    people = await _people(restarted)
    assert (await _refusal(people.by_pin("n1", PIN)))[0] == SignInFlaw.LOCKED
    restarted.clock.now_us += (FIRST_LOCK_S + 1) * 1_000_000
    assert await people.by_pin("n1", PIN) == ANNA
    assert await people.by_pin("n1", PIN) == ANNA
    restarted.close()


async def test_guesses_at_the_same_time_are_all_counted(shelf: Shelf) -> None:
    people = await _people(shelf)
    guesses = [_refusal(people.by_pin("n1", f"{guess:04}")) for guess in range(40)]
    reasons = [reason for reason, _ in await asyncio.gather(*guesses)]
    assert reasons.count(SignInFlaw.WRONG) == TRIES
    assert reasons.count(SignInFlaw.LOCKED) == 40 - TRIES


async def test_at_most_fifty_guesses_fit_into_any_day(shelf: Shelf) -> None:
    people = await _people(shelf)
    guesses, day_us = 0, 86_400_000_000
    end_us = shelf.clock.now_us + day_us
    while shelf.clock.now_us < end_us:
        reason, wait_s = await _refusal(people.by_pin("n1", "0000"))
        guesses += reason == SignInFlaw.WRONG
        shelf.clock.now_us += max(wait_s, 1) * 1_000_000
    assert 20 <= guesses <= 50


async def test_a_clock_set_back_by_years_locks_nobody_out_for_years(shelf: Shelf) -> None:
    people = await _people(shelf)
    for _ in range(TRIES):
        await _refusal(people.by_pin("n1", "0000"))
    shelf.clock.now_us -= 10 * 365 * 86_400_000_000
    assert (await _refusal(people.by_pin("n1", PIN)))[1] <= 86_400
