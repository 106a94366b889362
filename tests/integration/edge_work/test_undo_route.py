from sync_protocol.documents import OrderState
from sync_protocol.facts import What
from sync_protocol.items import State
from tests.integration.edge_work.test_station_routes import get, post, station_of
from tests.unit.edge_work.site import client, serve, sign_in
from tests.unit.edge_work.ward import AMOXICILLIN, LI, MORPHINE, PIN, Ward, box, box_code, order, units


async def test_a_hand_out_is_undone_by_the_number_of_its_verdict(ward: Ward) -> None:
    await ward.load(
        items=(*units(AMOXICILLIN, 1, locked=3, order="RX00001"), box(MORPHINE, 2, State.LOCKED, order="RX00002")),
        orders=(order(1, AMOXICILLIN, 3, OrderState.LOCKED), order(2, MORPHINE, 1, OrderState.LOCKED)),
    )
    async with serve(ward, station_of(ward)) as url, client(url) as session:
        assert (await post(session, "/undo", number="1"))[0] == 401
        await sign_in(session)
        await post(session, "/step", step="hand_out")
        number = str((await post(session, "/hand-out", order="RX00001"))[1]["number"])
        async with session.post("/undo", json={"number": "one"}) as answer:
            assert answer.status == 400
            assert await answer.text() == "number: found 'one', expected a whole number\n"
        status, refused = await post(session, "/undo", number="99")
        assert (status, refused["reason"]) == (409, "nothing_to_undo")
        status, undone = await post(session, "/undo", number=number)
        assert (status, undone["is_undone"], undone["order"], undone["units"]) == (200, True, "RX00001", 3)
        assert {row["order"] for row in await get(session, "/orders")} == {"RX00001", "RX00002"}
        assert (await post(session, "/undo", number=number))[1]["reason"] == "nothing_to_undo"
        await post(session, "/scan", code=box_code(MORPHINE, 2))
        signed = {"witness": LI.id, "witness_pin": PIN}
        number = str((await post(session, "/hand-out", order="RX00002", **signed))[1]["number"])
        assert (await post(session, "/undo", number=number, witness=LI.id, witness_pin="0"))[1][
            "reason"
        ] == "wrong_person_or_pin"
        assert (await post(session, "/undo", number=number))[1]["reason"] == "second_person"
        assert (await post(session, "/undo", number=number, **signed))[1]["is_undone"]
    assert [fact.what for fact in ward.facts()] == [What.DISPENSED, What.RETURNED] * 2
