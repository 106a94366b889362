"""Who is at the screen: people of the replica, by PIN or badge. Wrong PINs lock a person out, also across a restart."""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from functools import cached_property

import argon2

from edge_agent.check import Stock
from edge_agent.errors import SignInRefusedError
from edge_agent.store.journal import Journal
from sync_protocol.documents import Person

TRIES = 5
FIRST_LOCK_S = 1_800
LONGEST_LOCK_S = 86_400
"""Locks double from the first to the longest: at most 50 guesses in any 24 hours."""

_TRIES_OF = "SELECT failures, locked_until_us FROM sign_in WHERE person = ?"
_COUNT = "INSERT OR REPLACE INTO sign_in(person, failures, locked_until_us) VALUES (?, ?, ?)"
_FORGIVE = "DELETE FROM sign_in WHERE person = ?"


class SignInFlaw(StrEnum):
    WRONG = "wrong_person_or_pin"
    LOCKED = "locked_out"
    UNKNOWN_BADGE = "unknown_badge"
    INACTIVE = "inactive"


class People:
    def __init__(self, *, journal: Journal, stock: Stock, now_us: Callable[[], int]) -> None:
        self._journal = journal
        self._stock = stock
        self._now_us = now_us
        self._hasher = argon2.PasswordHasher()

    async def by_pin(self, person_id: str, pin: str) -> Person:
        """Raises SignInRefusedError; ``wait_s`` says how long a lock-out still lasts."""
        person = self._stock.person(person_id)
        if person is None or not person.pin:
            await asyncio.to_thread(self._verify_nobody, pin)
            raise SignInRefusedError(SignInFlaw.WRONG)
        self._count_try(person.id)
        if not await asyncio.to_thread(self._verify, person.pin, pin):
            raise SignInRefusedError(SignInFlaw.WRONG, wait_s=self._locked_s(person.id))
        self._journal.write(_FORGIVE, [(person.id,)])
        return _active(person)

    async def by_badge(self, badge: str) -> Person:
        """Raises SignInRefusedError."""
        person = self._stock.person_of_badge(badge)
        if person is None:
            raise SignInRefusedError(SignInFlaw.UNKNOWN_BADGE)
        return _active(person)

    def _count_try(self, person_id: str) -> None:
        """Counted before the PIN is looked at, so that guesses at the same time are not free. Raises if locked out."""
        wait_s = self._locked_s(person_id)
        if wait_s:
            raise SignInRefusedError(SignInFlaw.LOCKED, wait_s=wait_s)
        rows = self._journal.query(_TRIES_OF, person_id)
        failures = (rows[0][0] if rows else 0) + 1
        until_us = self._now_us() + _lock_s(failures) * 1_000_000 if failures % TRIES == 0 else 0
        self._journal.write(_COUNT, [(person_id, failures, until_us)])

    def _locked_s(self, person_id: str) -> int:
        rows = self._journal.query(_TRIES_OF, person_id)
        left_s = (rows[0][1] - self._now_us()) / 1e6 if rows and rows[0][1] else 0.0
        # A clock that was set back must not lock anyone out for years.
        return min(LONGEST_LOCK_S, max(0, round(left_s + 0.5))) if left_s > 0 else 0

    def _verify_nobody(self, pin: str) -> None:
        """Takes as long as a wrong PIN, so that the time of the answer names nobody."""
        self._verify(self._nobody, pin)

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash("nobody")

    def _verify(self, verifier: str, pin: str) -> bool:
        try:
            return self._hasher.verify(verifier, pin)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


def _lock_s(failures: int) -> int:
    doublings = min(failures // TRIES - 1, 10)
    return min(LONGEST_LOCK_S, FIRST_LOCK_S << doublings)


def _active(person: Person) -> Person:
    if not person.is_active:
        raise SignInRefusedError(SignInFlaw.INACTIVE)
    return person
