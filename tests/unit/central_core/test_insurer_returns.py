"""What came back is told to the insurer: once, after its sale, and before the box is sold again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from central.connectors.queue import SalesQueue
from central.connectors.sale_rows import serial_of
from central.errors import InvalidError
from sync_protocol.facts import UNDONE, How, What
from tests.unit.central_core.desk import SPLIT, WHOLE, Desk, an_order, box
from tests.unit.central_core.test_insurer import Platform, an_insurer, hold, said, served

Step = Callable[[], Awaitable[bool]]
ROWS = "SELECT order_id, box, quantity, is_split, is_return, state FROM insurer_row ORDER BY id"


@pytest.fixture
async def platform() -> Platform:
    return Platform()


@pytest.fixture
async def step(desk: Desk, platform: Platform) -> AsyncIterator[Step]:
    """One round of the worker, with the clock an hour on."""
    async with served(platform) as url, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
        insurer = an_insurer(desk, url, timeout_s=2)

        async def step() -> bool:
            desk.clock.us += 3_600_000_000
            return await insurer.round(http)

        yield step


async def hand_out(
    desk: Desk, order_id: str, product: Any = SPLIT, quantity: int = 3, **fields: Any
) -> tuple[str, ...]:
    codes = (await desk.orders.place(an_order(order_id, product, quantity, **fields))).codes
    desk.record(What.DISPENSED, *codes, order=order_id, how=How.AUTOMATIC)
    return codes


async def finish(step: Step) -> None:
    while await step():
        pass


def states(desk: Desk) -> list[str]:
    return [row[-1] for row in desk.rows(ROWS)]


def told(platform: Platform) -> list[tuple[str, list[str]]]:
    """Transaction and quantities of each request."""
    return [
        (request["infno"], [row["sel_retn_cnt"] for row in request["input"]["selinfoDetail"]])
        for request in platform.requests
        if request["infno"] != "3590"
    ]


def refuse(cause: str) -> Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]:
    async def refuse(_message: dict[str, Any]) -> web.StreamResponse:
        return said({"result": {"retRslt": "0", "msgRslt": cause}})

    return refuse


async def test_a_return_makes_one_row_a_box_in_its_own_commit(desk: Desk) -> None:
    await desk.units(1, 2)
    await desk.in_stock(WHOLE, [box(WHOLE, 1)], note="N-W")
    codes = await hand_out(desk, "O-1", quantity=12)
    (whole,) = await hand_out(desk, "O-2", WHOLE, 1)
    sold = len(desk.rows(ROWS))
    desk.record(What.RETURNED, *codes[-4:], order="O-1")
    desk.record(What.RETURNED, *codes[-4:], order="O-1")  # nothing of it is out any more
    desk.record(What.RETURNED, whole)
    assert desk.rows(ROWS)[sold:] == [
        ("O-1", box(SPLIT, 1), 2, 1, 1, "waiting"),
        ("O-1", box(SPLIT, 2), 2, 1, 1, "waiting"),
        ("O-2", box(WHOLE, 1), 1, 0, 1, "waiting"),
    ]


async def test_what_goes_out_and_comes_back_in_one_commit_is_of_its_order(desk: Desk) -> None:
    await desk.units(1)
    (code,) = (await desk.orders.place(an_order("O-1", quantity=1))).codes

    def both(transaction: Any) -> None:
        transaction.record(desk.fact(What.DISPENSED, code, order="O-1", how=How.AUTOMATIC))
        transaction.record(desk.fact(What.RETURNED, code))

    desk.ledger.commit(both)
    assert [(row[0], row[4]) for row in desk.rows(ROWS)] == [("O-1", 0), ("O-1", 1)]


async def test_a_return_says_what_came_back_and_of_which_sale(desk: Desk, platform: Platform, step: Step) -> None:
    await desk.units(1)
    codes = await hand_out(desk, "O-1")
    desk.record(What.RETURNED, *codes[:2], order="O-1")
    await finish(step)
    assert told(platform) == [("3505A", ["3"]), ("3506A", ["2"])]
    sale, back = (request["input"]["selinfoDetail"][0] for request in platform.requests)
    assert back.pop("medins_prod_sel_no") == sale["fixmedins_bchno"] != back["fixmedins_bchno"]
    assert back.keys() < sale.keys()
    same = ("med_list_codg", "trdn_flag", "finl_trns_pric", "mdtrt_sn", "certno", "manu_lotnum", "drugtracinfo")
    assert [back[name] for name in same] == [sale[name] for name in same]
    assert all(back.values())
    sent = [serial_of(sale) for sale in SalesQueue(desk.ledger).find([1, 2])]
    assert sent == list(platform.sales)


async def test_the_sale_is_not_named_where_there_were_two(desk: Desk, platform: Platform, step: Step) -> None:
    await desk.units(1)
    codes = (await desk.orders.place(an_order("O-1", quantity=4))).codes
    for part in (codes[:2], codes[2:]):
        desk.record(What.DISPENSED, *part, order="O-1", how=How.AUTOMATIC)
    desk.record(What.RETURNED, *codes[1:3], order="O-1")
    await finish(step)
    assert told(platform) == [("3505A", ["2", "2"]), ("3506A", ["2"])]
    assert "medins_prod_sel_no" not in platform.requests[-1]["input"]["selinfoDetail"][0]


async def test_both_are_told_in_order_though_nothing_had_left(desk: Desk, platform: Platform, step: Step) -> None:
    """A box that is handed out, taken back and handed out again would be refused as sold twice in any other order."""
    await desk.in_stock(WHOLE, [box(WHOLE, 1)], note="N-W")
    for order_id in ("O-1", "O-2"):
        (code,) = await hand_out(desk, order_id, WHOLE, 1)
        desk.record(What.RETURNED, code, order=order_id)
    await finish(step)
    assert [infno for infno, _ in told(platform)] == ["3505A", "3506A"] * 2
    assert set(states(desk)) == {"accepted"}


@pytest.mark.parametrize("is_sent", [False, True])
async def test_out_undone_and_out_again_for_the_same_order_is_told_each_once(
    desk: Desk, platform: Platform, step: Step, *, is_sent: bool
) -> None:
    await desk.units(1)
    codes = await hand_out(desk, "O-1")
    if is_sent:
        await finish(step)
    desk.record(What.RETURNED, *codes, order="O-1", reason=UNDONE)
    desk.record(What.DISPENSED, *codes, order="O-1", how=How.AUTOMATIC)
    await finish(step)
    assert told(platform) == [("3505A", ["3"]), ("3506A", ["3"]), ("3505A", ["3"])]
    first, _, again = (request["input"]["selinfoDetail"][0] for request in platform.requests)
    assert first["fixmedins_bchno"] != again["fixmedins_bchno"]
    assert (first["rxno"], first["drugtracinfo"]) == (again["rxno"], again["drugtracinfo"])
    assert states(desk) == ["accepted"] * 3


async def test_a_return_waits_while_its_sale_is_not_accepted(desk: Desk, platform: Platform, step: Step) -> None:
    await desk.units(1, 2)
    codes = await hand_out(desk, "O-1")

    async def take_and_hold(message: dict[str, Any]) -> web.StreamResponse:
        platform.take(message)
        return await hold(message)

    platform.script = [take_and_hold]
    await step()
    desk.record(What.RETURNED, codes[0], order="O-1")
    assert states(desk) == ["unknown", "waiting"]
    queue = SalesQueue(desk.ledger)
    assert [sale.id for sale in queue.find([1, 2])] == [1, 2]
    await step()
    assert states(desk) == ["accepted", "waiting"]
    await finish(step)
    assert [request["infno"] for request in platform.requests] == ["3505A", "3590", "3506A"]


async def come_back_refused(desk: Desk, platform: Platform, step: Step) -> None:
    """A box is handed out, the platform refuses that, and the box comes back."""
    await desk.in_stock(WHOLE, [box(WHOLE, 1)], note="N-W")
    (code,) = await hand_out(desk, "O-1", WHOLE, 1)
    platform.script = [refuse("目录不符")]
    await step()
    desk.record(What.RETURNED, code, order="O-1")


async def test_a_return_of_a_refused_sale_waits_and_keeps_nobody_awake_or_waiting(
    desk: Desk, platform: Platform, step: Step
) -> None:
    await come_back_refused(desk, platform, step)
    await finish(step)
    queue = SalesQueue(desk.ledger)
    assert states(desk) == ["refused", "waiting"]
    assert queue.wait_us() is None
    await hand_out(desk, "O-2", WHOLE, 1)
    assert queue.wait_us() == 0
    await finish(step)
    assert states(desk) == ["refused", "waiting", "accepted"]
    queue.repair([1], "n1")
    await finish(step)
    assert set(states(desk)) == {"accepted"}
    assert [infno for infno, _ in told(platform)] == ["3505A", "3505A", "3505A", "3506A"]


async def test_a_return_follows_a_sale_that_a_person_has_reported_by_hand(
    desk: Desk, platform: Platform, step: Step
) -> None:
    await come_back_refused(desk, platform, step)
    queue = SalesQueue(desk.ledger)
    with pytest.raises(InvalidError, match="where the insurer has it"):
        queue.report_by_hand([1], "n1", "  ")
    assert queue.report_by_hand([1, 2], "n1", "平台 7731") == 1, "the return is not refused, it waits"
    assert desk.rows("SELECT state, cause FROM insurer_row WHERE id = 1") == [("accepted", "平台 7731")]
    assert desk.rows("SELECT row_id, what, cause, person FROM insurer_repair") == [(1, "by_hand", "目录不符", "n1")]
    await finish(step)
    assert states(desk) == ["accepted", "accepted"]
    assert queue.report_by_hand([1, 2], "n1", "once more") == 0


async def test_a_return_of_an_order_that_no_insurer_pays_is_told_to_none(
    desk: Desk, platform: Platform, step: Step
) -> None:
    await desk.units(1)
    codes = await hand_out(desk, "O-1", is_self_pay=True)
    desk.record(What.RETURNED, *codes, order="O-1")
    await finish(step)
    assert states(desk) == ["exempt", "exempt"]
    assert platform.requests == []


async def test_a_refused_return_has_its_cause_and_is_sent_again(desk: Desk, platform: Platform, step: Step) -> None:
    await desk.units(1)
    codes = await hand_out(desk, "O-1")
    await step()
    desk.record(What.RETURNED, *codes, order="O-1")
    platform.script = [refuse("没有可退的销售记录")]
    await step()
    assert desk.rows("SELECT state, cause FROM insurer_row WHERE is_return") == [("refused", "没有可退的销售记录")]
    SalesQueue(desk.ledger).repair([2], "n1")
    await finish(step)
    assert states(desk) == ["accepted", "accepted"]


async def test_an_unanswered_return_is_asked_about_and_never_sent_twice(
    desk: Desk, platform: Platform, step: Step
) -> None:
    await desk.units(1)
    codes = await hand_out(desk, "O-1")
    await step()
    desk.record(What.RETURNED, *codes, order="O-1")

    async def take_and_fail(message: dict[str, Any]) -> web.StreamResponse:
        platform.take(message)
        return web.Response(status=502)

    platform.script = [take_and_fail]
    await step()
    assert states(desk) == ["accepted", "unknown"]
    await finish(step)
    assert states(desk) == ["accepted", "accepted"]
    assert [request["infno"] for request in platform.requests] == ["3505A", "3506A", "3590"]
