"""Who may decide and who administers."""

import pytest

from central.errors import ConflictError, ForbiddenError, InvalidError
from central.stock.roles import PersonChange, Role, Roles
from sync_protocol.documents import Person
from tests.unit.central_core.desk import Desk


def change(person: str, *roles: Role, **fields: object) -> PersonChange:
    known = {"name": "Li", "badge": "", "pin": "", "is_active": True, "operator": "n1", "witness": "n2"} | fields
    return PersonChange(id=person, roles=frozenset(roles), **known)  # type: ignore[arg-type] # fields by name


async def staff(desk: Desk) -> Roles:
    people = [Person(id=f"n{number}", name="Li", pin="$argon2id$x") for number in (1, 2, 3)]
    await desk.people.put(people)
    return Roles(desk.ledger, desk.people)


async def test_everybody_may_until_somebody_administers(desk: Desk) -> None:
    roles = await staff(desk)
    for role in Role:
        roles.require("n3", role)
    await roles.change(change("n1", Role.ADMINISTRATOR))
    roles.require("n1", Role.ADMINISTRATOR)
    roles.require("n3", None)
    with pytest.raises(ForbiddenError) as refused:
        roles.require("n3", Role.ADMINISTRATOR)
    assert refused.value.advice == "Li"
    with pytest.raises(ForbiddenError, match="ask an administrator"):
        roles.require("n1", Role.MANAGER)


async def test_who_left_does_nothing_more(desk: Desk) -> None:
    roles = await staff(desk)
    await roles.change(change("n3", is_active=False))
    with pytest.raises(ForbiddenError):
        roles.require("n3", None)
    assert desk.people.find(["n3"])[0].pin == "$argon2id$x", "a PIN that is not given stays"


async def test_the_last_administrator_stays(desk: Desk) -> None:
    roles = await staff(desk)
    await roles.change(change("n1", Role.ADMINISTRATOR))
    with pytest.raises(ConflictError):
        await roles.change(change("n1"))
    with pytest.raises(ConflictError):
        await roles.change(change("n1", Role.ADMINISTRATOR, is_active=False))
    await roles.change(change("n2", Role.ADMINISTRATOR, Role.MANAGER))
    await roles.change(change("n1"))
    assert list(roles.holders(Role.ADMINISTRATOR)) == ["n2"]


async def test_every_change_is_kept_with_both_names(desk: Desk) -> None:
    roles = await staff(desk)
    await roles.change(change("n4", Role.MANAGER, name="Zhao", pin="8642"))
    await roles.change(change("n4", name="Zhao Min", badge="b-4", is_active=False))
    await roles.change(change("n4", name="Zhao Min", badge="b-4", is_active=False))
    query = "SELECT what, value, operator, witness FROM person_change ORDER BY id"
    assert desk.rows(query) == [
        ("created", "Zhao", "n1", "n2"),
        ("role_given", "manager", "n1", "n2"),
        ("name", "Zhao Min", "n1", "n2"),
        ("badge", "b-4", "n1", "n2"),
        ("inactive", "", "n1", "n2"),
        ("role_taken", "manager", "n1", "n2"),
    ]
    assert desk.people.find(["n4"])[0].pin.startswith("$argon2")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("person", {"person": ""}),
        ("name", {"name": "\x07"}),
        ("pin", {"pin": "12"}),
        ("pin", {"pin": "abcdef"}),
        ("witness", {"witness": "n1"}),
        ("witness", {"witness": "nobody"}),
    ],
)
async def test_what_cannot_be_is_refused_by_its_field(desk: Desk, field: str, fields: dict[str, str]) -> None:
    roles = await staff(desk)
    with pytest.raises(InvalidError) as refused:
        await roles.change(change(fields.pop("person", "n3"), **fields))
    assert refused.value.field == field


async def test_who_is_added_takes_nobodys_place(desk: Desk) -> None:
    roles = await staff(desk)
    await roles.change(change("n3", Role.MANAGER))
    with pytest.raises(ConflictError) as refused:
        await roles.change(change("n3", name="Zhao", is_new=True))
    assert refused.value.field == "person"
    assert desk.people.find(["n3"])[0].name == "Li"
    assert list(roles.holders(Role.MANAGER)) == ["n3"]


async def test_a_badge_is_one_persons(desk: Desk) -> None:
    roles = await staff(desk)
    await roles.change(change("n1", badge="b-1"))
    with pytest.raises(ConflictError):
        await roles.change(change("n2", badge="b-1"))
