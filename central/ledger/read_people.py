"""What the page of people reads: who there is, who has which role, and what was changed by whom."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from central.ledger.read_api import rows_of
from central.ledger.schema import person, person_change, person_role

_MOST_CHANGES = 100


class PersonRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person without what they sign in with: only whether there is any."""

    id: str
    name: str
    badge: str
    has_pin: bool
    is_active: bool
    roles: tuple[str, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    value: str
    operator: str
    witness: str
    at_us: int


def people_clauses(*, is_active: bool | None, role: str, name: str) -> list[ColumnElement[bool]]:
    """``name``: a part of the name, or the whole id or badge."""
    clauses: list[ColumnElement[bool]] = [] if is_active is None else [person.c.is_active == is_active]
    if role:
        clauses.append(person.c.id.in_(select(person_role.c.person).where(person_role.c.role == role)))
    if name:
        clauses.append(or_(person.c.name.contains(name, autoescape=True), person.c.id == name, person.c.badge == name))
    return clauses


async def people_page(
    engine: AsyncEngine, clauses: Sequence[ColumnElement[bool]], *, after: str, limit: int
) -> list[PersonRow]:
    """By id, after that id."""
    query = select(person).where(person.c.id > after, *clauses).order_by(person.c.id).limit(limit)
    rows = await rows_of(engine, query)
    held = select(person_role).where(person_role.c.person.in_([row["id"] for row in rows])).order_by(person_role.c.role)
    roles: dict[str, list[str]] = {}
    for row in await rows_of(engine, held):
        roles.setdefault(row["person"], []).append(row["role"])
    return [
        PersonRow(
            id=row["id"],
            name=row["name"],
            badge=row["badge"],
            has_pin=bool(row["pin"]),
            is_active=bool(row["is_active"]),
            roles=tuple(roles.get(row["id"], ())),
        )
        for row in rows
    ]


async def one_person(engine: AsyncEngine, person_id: str) -> PersonRow | None:
    return next(iter(await people_page(engine, [person.c.id == person_id], after="", limit=1)), None)


async def changes_of(engine: AsyncEngine, person_id: str) -> list[Change]:
    """The latest first."""
    query = select(person_change).where(person_change.c.person == person_id).order_by(person_change.c.id.desc())
    found = await rows_of(engine, query.limit(_MOST_CHANGES))
    return [Change(**{name: row[name] for name in Change.__struct_fields__}) for row in found]
