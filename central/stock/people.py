"""Staff: who may sign in. A PIN is kept only as its argon2 verifier."""

import asyncio

import argon2
import msgspec

from central.errors import ConflictError, InvalidError
from central.ledger import rows, statements
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from sync_protocol.documents import Person

_VERIFIER = "$argon2"
_AT_ONCE = 2


class People:
    def __init__(self, ledger: Ledger, hasher: argon2.PasswordHasher | None = None) -> None:
        self._ledger = ledger
        self._hasher = hasher or argon2.PasswordHasher()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def put(self, people: list[Person]) -> int:
        """Write people whose ``pin`` is the PIN itself or already a verifier. Returns how many were new or other.

        Idempotent: a PIN that fits the verifier in the ledger changes nothing. Raises InvalidError, ConflictError.
        """
        _check(people)
        verified = await asyncio.gather(*map(self.verified, people))
        return self._ledger.commit(lambda transaction: write_people(transaction, verified))

    def find(self, ids: list[str]) -> list[Person]:
        found = self._ledger.connection.execute(statements.marks(statements.PEOPLE, len(ids)), ids)
        return [rows.person_of(row) for row in found]

    async def verified(self, person: Person) -> Person:
        """The person with the verifier of the PIN: the one in the ledger, if it fits."""
        if not person.pin or person.pin.startswith(_VERIFIER):
            return person
        known = self.find([person.id])
        async with self._slots:
            pin = await asyncio.to_thread(self._verifier, person.pin, known[0].pin if known else "")
        return msgspec.structs.replace(person, pin=pin)

    def _verifier(self, pin: str, known: str) -> str:
        try:
            if known and self._hasher.verify(known, pin):
                return known
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            pass  # another PIN: it gets a verifier of its own
        return self._hasher.hash(pin)


def _check(people: list[Person]) -> None:
    ids = [person.id for person in people]
    for person in people:
        if not person.id or not person.name:
            raise InvalidError("people", f"{person.id!r} named {person.name!r}", "an id and a name for each")
        if ids.count(person.id) > 1:
            raise InvalidError("people", f"{person.id} twice", "each person once", "send the entry that is true")


def write_people(transaction: Transaction, people: list[Person]) -> int:
    """How many were new or other. Raises ConflictError."""
    present = {row[0]: rows.person_of(row) for row in transaction.select_in(statements.PEOPLE, [p.id for p in people])}
    changed = [person for person in people if present.get(person.id) != person]
    for person in changed:
        transaction.put(person)
    _refuse_shared_badges(transaction, [person.badge for person in changed if person.badge])
    return len(changed)


def _refuse_shared_badges(transaction: Transaction, badges: list[str]) -> None:
    """Every act has a person: a badge that two people carry would say nothing."""
    owners: dict[str, str] = {}
    for person, badge in transaction.select_in(statements.BADGES, badges):
        if badge in owners:
            raise ConflictError(
                "badge",
                f"{badge} of {owners[badge]} and of {person}",
                "a badge of one person",
                "take it from one first",
            )
        owners[badge] = person


def require_two(transaction: Transaction, operator: str, witness: str) -> None:
    """Two different people of this hospital act together. Raises InvalidError."""
    if operator == witness:
        raise InvalidError("witness", witness or "nobody", "a second person besides the one who acts")
    active = {row[0] for row in transaction.select_in(statements.PEOPLE, {operator, witness}) if row[4]}
    for field, person in (("operator", operator), ("witness", witness)):
        if person not in active:
            raise InvalidError(field, person or "nobody", "a person of this hospital who may sign in")
