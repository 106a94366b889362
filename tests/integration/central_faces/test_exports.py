"""Every list of the console as a file: all rows that fit the filters, none that a spreadsheet would run."""

import csv
import io

import aiohttp
import pytest

from central.console.serve import PAGES, SHEETS
from central.stock.recalls import NewRecall
from sync_protocol.documents import OrderKind
from sync_protocol.facts import What
from tests.browser.central.morning import codes_of, order, play
from tests.integration.central_faces.hospital import SPLIT, Hospital, box, browser, serving, sign_in

FORMULA = "=HYPERLINK(A1)"


async def rows(session: aiohttp.ClientSession, url: str) -> list[dict[str, str]]:
    async with session.get(url) as response:
        assert response.status == 200, url
        assert response.headers["Content-Disposition"].endswith('.csv"')
        return list(csv.DictReader(io.StringIO((await response.read()).decode("utf-8-sig"))))


async def test_every_list_has_a_file() -> None:
    without = {path for path in PAGES if f"{path}.csv" not in SHEETS}
    assert without == {"/sync", "/leases", "/sheets", "/sheets/print"}, "devices, a handful, and what is printed"


async def test_files_hold_what_the_filters_let_through(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pool", "orders", "exceptions", "quarantine", "receiving", "timeline"):
        monkeypatch.setattr(f"central.console.{module}.AT_ONCE", 3)  # more than one page of each
    await play(hospital)
    await hospital.services.orders.place(order(hospital, "YZ999", SPLIT.id, 2, OrderKind.STAT))
    hospital.record("station-1", hospital.fact(What.FROZEN, codes_of(0)[3], reason=FORMULA, operator="n01"))
    async with serving(hospital) as address, browser(address) as person:
        await sign_in(person)
        await person.get("/pool?lang=en")
        everything = await rows(person, "/pool.csv?state=all")
        codes = [row["Code"].lstrip("'") for row in everything]
        assert (
            len(codes)
            == len(set(codes))
            == hospital.ledger.connection.execute("SELECT count(*) FROM item").fetchone()[0]
        )
        split = await rows(person, f"/pool.csv?state=all&product={SPLIT.id}&after={codes[5]}")
        assert {row["Product"] for row in split} == {SPLIT.id}
        assert len(split) == sum(row["Product"] == SPLIT.id for row in everything)

        orders = await rows(person, "/orders.csv")
        assert len(orders) == 25
        assert [row["Order number"] for row in await rows(person, "/orders.csv?id=YZ999")] == ["YZ999"]
        frozen = await rows(person, "/quarantine.csv")
        assert f"'{FORMULA}" in {row["Reason"] for row in frozen}
        notes = await rows(person, "/receiving.csv")
        assert all(int(row["Here"]) <= int(row["Expected"]) for row in notes)
        life = await rows(person, f"/timeline.csv?code={codes_of(0)[3]}")
        assert len(life) >= 2
        assert life[-1]["Reason"] == f"'{FORMULA}"
        assert await rows(person, f"/timeline.csv?code={box(987654)}") == []
        assert await rows(person, "/exceptions.csv?show=all")
        assert await rows(person, "/loans.csv") == []


async def test_the_file_of_a_recall_names_who_is_to_be_called(hospital: Hospital) -> None:
    await play(hospital)
    await hospital.services.recalls.issue(
        NewRecall(id="R-9", product=SPLIT.id, lot="", codes=(), reason="fault", operator="n01", witness="n02")
    )
    async with serving(hospital) as address, browser(address) as person:
        await sign_in(person)
        await person.get("/pool?lang=en")
        found = await rows(person, "/recalls.csv?id=R-9")
        assert found
        assert any(row["Patient"].startswith("PT-") for row in found)
        assert {row["Recall"] for row in found} == {"R-9"}
        assert await rows(person, "/recalls.csv?id=none") == []
