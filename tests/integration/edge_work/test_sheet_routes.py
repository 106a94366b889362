"""Sheets of paper over HTTP, as programs and pages use them."""

from edge_agent.workflows.station import Station
from sync_protocol.documents import OrderState
from tests.integration.edge_work.test_station_routes import HTML, get, post
from tests.unit.edge_work.site import Gun, client, serve, sign_in
from tests.unit.edge_work.ward import AMOXICILLIN, LI, Ward, order, units

HOUR_US = 3_600_000_000
SAID = {"day": "2026-03-02", "time": "09:30", "quantity": "6", "operator": LI.id}


async def test_a_program_prints_and_scans_back(ward: Ward) -> None:
    station = Station(ward.bench, people=ward.people, scanner=Gun())
    async with serve(ward, station) as url, client(url) as session:
        await sign_in(session)
        status, refused = await post(session, "/sheets", kind="orders")
        assert (status, refused["reason"]) == (409, "nothing_to_print")
        await ward.load(
            items=tuple(units(AMOXICILLIN, 9, locked=6, order="RX00001")),
            orders=(order(1, AMOXICILLIN, 6, OrderState.LOCKED),),
        )
        status, sheet = await post(session, "/sheets", kind="orders")
        assert (status, sheet["open"], len(sheet["lines"])) == (200, [1], 1)
        blank = (await post(session, "/sheets", kind="blank"))[1]
        assert [each["sheet"] for each in await get(session, "/sheets")] == [sheet["sheet"], blank["sheet"]]
        ward.clock.now_us += HOUR_US
        await sign_in(session)
        verdict = (await post(session, "/scan", code=sheet["lines"][0]))[1]
        assert (verdict["result"], verdict["document"], verdict["asks"]) == ("progress", sheet["sheet"], "1")
        line = {"sheet": sheet["sheet"], "line": "1"}
        assert (await post(session, "/sheets/line", **line, again="1"))[0] == 200
        status, verdict = await post(session, "/sheets/line", **line, **SAID)
        assert (status, verdict["result"], verdict["misfits"], verdict["units"]) == (200, "done", 0, 6)
        assert (await post(session, "/sheets/line", **line, **SAID))[1]["result"] == "repeat"
        status, verdict = await post(session, "/sheets/close", sheet=blank["sheet"], why="not_used")
        assert (status, verdict["result"]) == (200, "told")
        assert await get(session, "/sheets") == []


async def test_what_a_request_lacks_is_named(ward: Ward) -> None:
    station = Station(ward.bench, people=ward.people, scanner=Gun())
    async with serve(ward, station) as url, client(url) as session:
        await sign_in(session)
        for path, values, named in (
            ("/sheets", {"kind": "pink"}, "kind"),
            ("/sheets/line", {"line": "1"}, "sheet"),
            ("/sheets/line", {"sheet": "A", "line": "1", **SAID, "quantity": "-1"}, "quantity"),
            ("/sheets/line", {"sheet": "A", "line": "1", **SAID, "operator": ""}, "operator"),
            ("/sheets/close", {"sheet": "A", "why": "because"}, "why"),
        ):
            async with session.post(path, json=values) as answer:
                assert answer.status == 400
                assert (await answer.text()).startswith(f"{named}: found")
        status, refused = await post(session, "/sheets/line", sheet="AAAAAAAA", line="1", **SAID)
        assert (status, refused["reason"]) == (409, "sheet_gone")
        async with session.get("/sheets/AAAAAAAA") as answer:
            assert answer.status == 404


async def test_a_page_is_led_to_what_it_printed(ward: Ward) -> None:
    station = Station(ward.bench, people=ward.people, scanner=Gun())
    async with serve(ward, station) as url, client(url) as session:
        await sign_in(session)
        async with session.post("/sheets", data={"kind": "blank"}, headers=HTML) as answer:
            assert answer.status == 200
            assert answer.url.path.startswith("/sheets/")
            assert (await answer.text()).count("of-line") == 14
        async with session.post("/sheets", data={"kind": "orders"}, headers=HTML) as answer:
            assert answer.url.path == "/"
            assert "没有待发医嘱" in await answer.text()
