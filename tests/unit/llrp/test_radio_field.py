import pytest

from hardware_sims.radio import Heard, Inventory, Place, RadioField, heard_tags

INSIDE = [f"{one:024X}" for one in range(1, 201)]
OUTSIDE = [f"{one:024X}" for one in range(1001, 1201)]
NEXT_DOOR = [f"{one:024X}" for one in range(2001, 2201)]


def full_field(seed: int) -> RadioField:
    field = RadioField(seed=seed)
    for epc in INSIDE:
        field.place(epc, Place(cabinet=1))
    for epc in OUTSIDE:
        field.place(epc, Place(cabinet=1, is_inside=False))
    for epc in NEXT_DOOR:
        field.place(epc, Place(cabinet=2))
    return field


def listen(field: RadioField, power_dbm: float, *, round_no: int = 1, antennas: int = 4) -> list[Heard]:
    powers = dict.fromkeys(range(1, antennas + 1), power_dbm)
    return field.listen(Inventory(cabinet=1, round_no=round_no, duration_s=0.5, power_dbm=powers, shelves=4))


@pytest.mark.parametrize("seed", range(5))
def test_three_rounds_at_any_working_power_find_all_that_is_inside(seed: int) -> None:
    field = full_field(seed)
    for power_dbm in (18.0, 30.0):
        found = frozenset().union(*(heard_tags(listen(field, power_dbm, round_no=one)) for one in (1, 2, 3)))
        assert field.inside(1) <= found


@pytest.mark.parametrize("seed", range(5))
def test_a_tag_outside_is_heard_at_high_power_only(seed: int) -> None:
    field = full_field(seed)
    assert not heard_tags(listen(field, 21.5)) & set(OUTSIDE)
    assert len(heard_tags(listen(field, 30.0)) & set(OUTSIDE)) > 150


def test_the_next_cabinet_is_not_heard_and_hears_its_own() -> None:
    field = full_field(1)
    assert not heard_tags(listen(field, 30.0)) & set(NEXT_DOOR)
    powers = dict.fromkeys(range(1, 5), 20.0)
    there = field.listen(Inventory(cabinet=2, round_no=1, duration_s=0.5, power_dbm=powers, shelves=4))
    assert heard_tags(there) == set(NEXT_DOOR) == field.inside(2)


def test_one_antenna_alone_misses_some_and_low_power_more() -> None:
    field = full_field(1)
    inside = set(INSIDE)
    one_antenna = len(heard_tags(listen(field, 20.0, antennas=1)) & inside)
    low_power = len(heard_tags(listen(field, 10.0)) & inside)
    assert 0 < one_antenna < 200
    assert 0 < low_power < 200


def test_the_same_seed_hears_the_same_and_another_round_differs() -> None:
    assert listen(full_field(3), 30.0) == listen(full_field(3), 30.0)
    assert listen(full_field(3), 30.0) != listen(full_field(4), 30.0)
    assert listen(full_field(3), 30.0) != listen(full_field(3), 30.0, round_no=2)


def test_placing_one_tag_changes_nothing_for_the_others() -> None:
    field = full_field(3)
    before = listen(field, 30.0)
    field.place("ABCD", Place(cabinet=1, shelf=2))
    after = [one for one in listen(field, 30.0) if one.epc != "ABCD"]
    assert after == before


def test_what_is_taken_away_is_not_heard() -> None:
    field = full_field(3)
    field.remove(INSIDE[0])
    assert INSIDE[0] not in field.inside(1) | heard_tags(listen(field, 30.0))
    with pytest.raises(KeyError):
        field.remove(INSIDE[0])


def test_a_nearer_tag_is_louder_and_hits_stay_within_the_round() -> None:
    field = RadioField(seed=1)
    for epc in INSIDE:
        field.place(epc, Place(cabinet=1, shelf=1))
    heard = listen(field, 20.0)
    near = [one.rssi_dbm for one in heard if one.antenna == 1]
    far = [one.rssi_dbm for one in heard if one.antenna == 4]
    assert sum(near) / len(near) > sum(far) / len(far) + 5
    assert all(0 <= one.first_s <= one.last_s <= 0.5 and 1 <= one.hits <= 10 for one in heard)


@pytest.mark.parametrize("epc", ["", "ABC", "abcd", "GHIJ", "AB"])
def test_an_epc_that_no_tag_can_hold_is_refused(epc: str) -> None:
    with pytest.raises(ValueError, match=r"expected upper-case hex|non-hexadecimal"):
        RadioField(seed=1).place(epc, Place(cabinet=1))
