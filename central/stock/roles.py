"""Roles: who may decide, and who administers. Scanning and the daily work at the console need none.

While nobody administers, as on a new system, everybody may do everything: naming the first one puts roles in force.
"""

from enum import StrEnum

import msgspec

from central.errors import ConflictError, ForbiddenError, InvalidError
from central.ledger import rows, statements
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.people import People, require_two, write_people
from sync_protocol.documents import Person

_LONGEST = 128
_OF = "SELECT role FROM person_role WHERE person = ?"
_HOLDERS = (
    "SELECT person.id, person.name FROM person_role JOIN person ON person.id = person_role.person "
    "WHERE person_role.role = ? AND person.is_active ORDER BY person.id"
)
_IS_ACTIVE = "SELECT 1 FROM person WHERE id = ? AND is_active"
_GIVE = "INSERT INTO person_role (person, role) VALUES (?, ?)"
_TAKE = "DELETE FROM person_role WHERE person = ? AND role = ?"
_NOTE = "INSERT INTO person_change (person, what, value, operator, witness, at_us) VALUES (?, ?, ?, ?, ?, ?)"


class Role(StrEnum):
    MANAGER = "manager"
    """Recalls, writes off, releases, closes notes and sheets, posts stocktakes, sets par levels."""
    ADMINISTRATOR = "administrator"
    """People and their roles, devices, leases, the end of a refill."""


class PersonChange(msgspec.Struct, frozen=True, kw_only=True):
    """A person as two people at the console want them. ``pin``: a new one; empty: as it is."""

    id: str
    is_new: bool = False
    name: str
    badge: str
    pin: str
    is_active: bool
    roles: frozenset[Role]
    operator: str
    witness: str


class Roles:
    def __init__(self, ledger: Ledger, people: People) -> None:
        self._ledger = ledger
        self._people = people

    @property
    def is_in_force(self) -> bool:
        return bool(self.holders(Role.ADMINISTRATOR))

    def holders(self, role: Role) -> dict[str, str]:
        """Names by id of the people who may sign in and have the role."""
        return dict(self._ledger.connection.execute(_HOLDERS, (role,)).fetchall())

    def require(self, person: str, role: Role | None) -> None:
        """Raises ForbiddenError, naming who may; also for a person who left since signing in."""
        if not self._ledger.connection.execute(_IS_ACTIVE, (person,)).fetchone():
            raise ForbiddenError("operator", person, "a person of this hospital who may sign in")
        if role is None or not self.is_in_force:
            return
        holders = self.holders(role)
        if person not in holders:
            whom = ", ".join(holders.values()) or "ask an administrator to give somebody the role"
            raise ForbiddenError("operator", person, f"a person with the role {role}", whom)

    async def change(self, change: PersonChange) -> None:
        """Write the person and their roles. Raises InvalidError, ConflictError, BusyError."""
        _check(change)
        wanted = Person(id=change.id, name=change.name, badge=change.badge, pin=change.pin, is_active=change.is_active)
        verified = await self._people.verified(wanted)
        self._ledger.commit(lambda transaction: _write(transaction, change, verified))


def _check(change: PersonChange) -> None:
    for field, text in (("person", change.id), ("name", change.name)):
        if not 1 <= len(text) <= _LONGEST or not text.isprintable():
            raise InvalidError(field, text[:32] or "nothing", f"1 to {_LONGEST} characters")
    if change.pin and not (change.pin.isascii() and change.pin.isdecimal() and 4 <= len(change.pin) <= 12):  # noqa: PLR2004 -- what a keypad and a memory hold
        raise InvalidError("pin", f"{len(change.pin)} characters", "4 to 12 digits")


def _write(transaction: Transaction, change: PersonChange, person: Person) -> None:
    require_two(transaction, change.operator, change.witness)
    found = [rows.person_of(row) for row in transaction.select_in(statements.PEOPLE, [person.id])]
    before = found[0] if found else None
    if change.is_new and before is not None:
        taken = f"{before.id}, which is {before.name}"
        raise ConflictError("person", taken, "a number that nobody has", "choose that person in the list")
    if before is not None and not change.pin:
        person = msgspec.structs.replace(person, pin=before.pin)
    had = {Role(row[0]) for row in transaction.select(_OF, (person.id,))}
    changes = [*_changed(before, person), *(("role_taken", role) for role in sorted(had - change.roles))]
    changes += [("role_given", role) for role in sorted(change.roles - had)]
    if not changes:
        return
    if before != person:
        write_people(transaction, [person])
    transaction.execute(_TAKE, [(person.id, role) for role in had - change.roles])
    transaction.execute(_GIVE, [(person.id, role) for role in change.roles - had])
    who = (change.operator, change.witness, transaction.now_us)
    transaction.execute(_NOTE, [(person.id, what, value, *who) for what, value in changes])
    is_last = Role.ADMINISTRATOR in had and not transaction.select(_HOLDERS, (Role.ADMINISTRATOR,))
    if is_last:
        raise ConflictError(
            "roles",
            f"{person.id}, the last administrator",
            "at least one administrator",
            "name another administrator first",
        )


def _changed(before: Person | None, after: Person) -> list[tuple[str, str]]:
    if before is None:
        return [("created", after.name)]
    changes = [("name", after.name)] if after.name != before.name else []
    changes += [("badge", after.badge)] if after.badge != before.badge else []
    changes += [("pin", "")] if after.pin != before.pin else []
    if after.is_active != before.is_active:
        changes.append(("active" if after.is_active else "inactive", ""))
    return changes
