import pytest

from sync_protocol.codes import CodeFlaw, CodeRefused
from sync_protocol.subcode import MAX_UNITS, split_sub_code, sub_code, sub_codes

BOX = "81000420000000012345"


def test_units_are_numbered_from_one_without_gap() -> None:
    assert sub_codes(BOX, 3) == (f"{BOX}#001", f"{BOX}#002", f"{BOX}#003")


def test_numbers_grow_to_four_digits() -> None:
    codes = sub_codes(BOX, MAX_UNITS)
    assert codes[998:1000] == (f"{BOX}#999", f"{BOX}#1000")
    assert len(set(codes)) == MAX_UNITS
    assert [split_sub_code(code) for code in codes] == [(BOX, n) for n in range(1, MAX_UNITS + 1)]


def test_a_gs1_box_keeps_its_serial_apart_from_the_number() -> None:
    box = "010690123456789221SN-1"
    assert split_sub_code(sub_code(box, 12)) == (box, 12)


@pytest.mark.parametrize("n", [0, -1, MAX_UNITS + 1])
def test_a_number_out_of_range_is_refused(n: int) -> None:
    for make in (sub_code, sub_codes):
        with pytest.raises(CodeRefused) as caught:
            make(BOX, n)
        assert caught.value.reason is CodeFlaw.OUT_OF_RANGE


@pytest.mark.parametrize("box", ["", f"{BOX}#001"])
def test_only_a_box_has_units(box: str) -> None:
    with pytest.raises(CodeRefused) as caught:
        sub_code(box, 1)
    assert caught.value.reason is CodeFlaw.UNKNOWN_FORM


@pytest.mark.parametrize(
    "text",
    [BOX, f"{BOX}#", f"{BOX}#1", f"{BOX}#01", f"{BOX}#0001", f"{BOX}#00a", f"{BOX}#001\n", f"{BOX}#１２３", "#001"],
)
def test_no_second_spelling_of_a_unit_is_read(text: str) -> None:
    with pytest.raises(CodeRefused):
        split_sub_code(text)
