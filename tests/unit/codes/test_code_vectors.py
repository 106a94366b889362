"""Every row of every table of code facts, one test each."""

import datetime as dt
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sync_protocol.codes import Code, CodeRefused, Entry, parse_scan
from sync_protocol.epc import parse_epc
from sync_protocol.gs1 import check_digit, full_year, has_check_digit
from sync_protocol.hibc import check_character, parse_hibc

VECTORS = Path(__file__).parents[2] / "vectors"
SCANS = tomllib.loads((VECTORS / "codes_scan.toml").read_text("utf-8"))["scan"]
TABLES = tomllib.loads((VECTORS / "codes_epc.toml").read_text("utf-8"))
TODAY = dt.date(2026, 3, 1)


def judge(row: dict[str, Any], code: Code) -> None:
    assert "reason" not in row, f"accepted as {code}"
    for field in row.keys() - {"row", "data", "hex", "aim", "entry"}:
        found = getattr(code, field)
        assert (list(found) if field == "warnings" else found) == row[field], field
    if "warnings" not in row and row.get("issuer_verified", True):
        assert code.warnings == ()


def judge_refusal(row: dict[str, Any], refusal: CodeRefused) -> None:
    assert refusal.reason == row.get("reason"), refusal
    assert row.get("expected", "") in refusal.expected
    assert refusal.found
    assert refusal.expected
    assert refusal.advice
    assert str(refusal).isascii()
    assert str(refusal).isprintable()


@pytest.mark.parametrize("row", SCANS, ids=lambda row: row["row"])
def test_scan(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["hex"]) if "hex" in row else row["data"].encode()
    try:
        code = parse_scan(data, aim=row.get("aim"), entry=Entry(row.get("entry", "scanner")), today=TODAY)
    except CodeRefused as refusal:
        judge_refusal(row, refusal)
    else:
        judge(row, code)


@pytest.mark.parametrize("row", TABLES["epc"], ids=lambda row: row["row"])
def test_epc(row: dict[str, Any]) -> None:
    try:
        code = parse_epc(row["hex"])
    except CodeRefused as refusal:
        judge_refusal(row, refusal)
        return
    judge(row, code)
    assert parse_epc(bytes.fromhex(row["hex"])) == code
    assert parse_epc(row["hex"].lower()) == code


def test_a_scan_longer_than_any_code_is_refused() -> None:
    with pytest.raises(CodeRefused) as caught:
        parse_scan(b"8" * 4096, today=TODAY)
    assert caught.value.reason == "too_long"
    assert caught.value.found == "4096 bytes"


@pytest.mark.parametrize("row", TABLES["check_digit"], ids=lambda row: row["data"])
def test_gs1_check_digit(row: dict[str, str]) -> None:
    assert check_digit(row["data"]) == row["check"]
    assert has_check_digit(row["data"] + row["check"])
    assert not has_check_digit(row["data"] + str((int(row["check"]) + 1) % 10))


@pytest.mark.parametrize("row", TABLES["hibc_check"], ids=lambda row: row["data"])
def test_hibc_check_character(row: dict[str, str]) -> None:
    assert check_character(row["data"]) == row["check"]


@pytest.mark.parametrize("row", TABLES["hibc_date"], ids=lambda row: row["secondary"])
def test_hibc_secondary(row: dict[str, Any]) -> None:
    data = f"+A123BJC5D6E71/{row['secondary']}"
    text = data + check_character(data)
    if row.get("is_bad"):
        with pytest.raises(CodeRefused) as caught:
            parse_hibc(text, today=TODAY)
        assert caught.value.reason == "bad_date"
        return
    code = parse_hibc(text, today=TODAY)
    assert (code.lot, code.serial, code.expiry) == ("LOT7", None, row.get("expiry"))
    assert (code.made, code.count) == (row.get("made"), row.get("count"))


@pytest.mark.parametrize(("flag", "secondary"), [("$$+", "$$+3281231SN42"), ("$+", "$+SN42"), ("S", "SSN42")])
def test_hibc_serial(flag: str, secondary: str) -> None:
    data = f"+A123BJC5D6E71/{secondary}"
    code = parse_hibc(data + check_character(data), today=TODAY)
    assert (code.serial, code.lot) == ("SN42", None), flag


@pytest.mark.parametrize("row", TABLES["partition"], ids=lambda row: row["partition"])
def test_sgtin_partition(row: dict[str, int]) -> None:
    # Written by bit arithmetic from the table, so that a wrong table on the reading side shows.
    prefix, item, serial = "690123456789"[: row["prefix_digits"]], "0123456"[: row["item_digits"]], 42
    bits = f"{0x30:08b}{1:03b}{row['partition']:03b}{int(prefix):0{row['prefix_bits']}b}"
    bits += f"{int(item):0{row['item_bits']}b}{serial:038b}"
    code = parse_epc(f"{int(bits, 2):024X}")
    body = item[0] + prefix + item[1:]
    assert code.key == f"01{body}{check_digit(body)}2142"


@pytest.mark.parametrize(
    ("yy", "today", "year"),
    [
        (26, 2026, 2026),
        (76, 2026, 2076),
        (77, 2026, 1977),
        (99, 2026, 1999),
        (0, 2026, 2000),
        (0, 2050, 2100),
        (1, 2050, 2001),
        (49, 2099, 2149),
        (50, 2099, 2050),
    ],
)
def test_century(yy: int, today: int, year: int) -> None:
    assert full_year(yy, dt.date(today, 1, 1)) == year


def test_a_tag_and_its_barcode_are_one_item() -> None:
    tag = parse_epc("302E92272C00C540000F4241")
    barcode = parse_scan(b"01069012345678921728123110ABC123\x1d211000001", aim="]d2", today=TODAY)
    assert tag.key == barcode.key
