"""The insurer's queue: each dispensed box once, whatever the platform and the wire do."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from central.connectors.envelope import Institution, msgid_of, read_answer, sign
from central.connectors.insurer import Insurer
from central.connectors.queue import RowState, SalesQueue
from central.connectors.remote import NoAnswerError, NotTakenError
from central.connectors.sale_rows import gap, row_of
from sync_protocol.facts import How, What
from tests.unit.central_core.desk import NOON_US, SPLIT, WHOLE, Desk, an_order, box

HOSPITAL = Institution(code="H11010000001", name="医院", region="110100")
Answering = Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]


def said(output: object, infcode: int = 0, err_msg: str = "") -> web.Response:
    return web.json_response({"infcode": infcode, "err_msg": err_msg, "output": output})


class Platform:
    """Keeps what it accepts; ``answer`` may be replaced for the next requests, one by one."""

    def __init__(self) -> None:
        self.sales: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.script: list[Answering] = []
        self.transport: asyncio.Transport | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        message = await request.json()
        self.requests.append(message)
        self.transport = request.transport
        if self.script and message["infno"] != "3590":
            return await self.script.pop(0)(message)
        return self.take(message)

    def hang_up(self) -> None:
        assert self.transport is not None
        self.transport.abort()

    def take(self, message: dict[str, Any]) -> web.Response:
        if message["infno"] == "3590":
            asked = [row["fixmedins_bchno"] for row in message["input"]["data"]]
            found = [self.sales[serial] for serial in asked if serial in self.sales]
            return said({"result": {"retRslt": "1"}, "selinfoDetail": found})
        for row in message["input"]["selinfoDetail"]:
            assert row["fixmedins_bchno"] not in self.sales, "sent twice"
            self.sales[row["fixmedins_bchno"]] = row
        return said({"result": {"retRslt": "1", "msgRslt": ""}})


@asynccontextmanager
async def served(platform: Platform) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/fsi", platform.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/fsi"
    await runner.cleanup()


@pytest.fixture
async def platform() -> Platform:
    return Platform()


@pytest.fixture
async def worker(desk: Desk, platform: Platform) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """One round of the worker, with the clock an hour on: every row is due."""
    async with served(platform) as url, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.5)) as http:
        insurer = an_insurer(desk, url)

        async def step() -> bool:
            desk.clock.us += 3_600_000_000
            return await insurer.round(http)

        yield step


def an_insurer(desk: Desk, url: str, institution: Institution = HOSPITAL, *, timeout_s: float = 0.5) -> Insurer:
    queue = SalesQueue(desk.ledger)
    return Insurer(queue, institution, url=url, time=desk.time, changes=desk.changes, timeout_s=timeout_s)


async def dispensed(desk: Desk, *orders: tuple[str, int]) -> None:
    await desk.units(1, 2)
    for order_id, quantity in orders:
        codes = (await desk.orders.place(an_order(order_id, quantity=quantity))).codes
        desk.record(What.DISPENSED, *codes, order=order_id, how=How.AUTOMATIC)


def rows(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.rows("SELECT order_id, box, quantity, state, cause FROM insurer_row ORDER BY id")


def states(desk: Desk) -> list[str]:
    return [row[3] for row in rows(desk)]


async def test_a_dispensed_fact_queues_one_row_a_box_in_its_own_commit(desk: Desk) -> None:
    await dispensed(desk, ("O-1", 12))
    await desk.in_stock(WHOLE, [box(WHOLE, 1)], note="N-W")
    await desk.orders.place(an_order("O-2", WHOLE, 1))
    desk.record(What.DISPENSED, box(WHOLE, 1), order="O-2")
    desk.record(What.DISPENSED, box(WHOLE, 1), order="O-2")
    assert desk.rows("SELECT order_id, box, quantity, is_split, state FROM insurer_row ORDER BY id") == [
        ("O-1", box(SPLIT, 1), 10, 1, "waiting"),
        ("O-1", box(SPLIT, 2), 2, 1, "waiting"),
        ("O-2", box(WHOLE, 1), 1, 0, "waiting"),
    ]


async def test_rows_go_out_filled_and_are_accepted(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]]
) -> None:
    await dispensed(desk, ("O-1", 3))
    assert await worker()
    assert states(desk) == ["accepted"]
    assert not await worker()
    (request,) = platform.requests
    assert request["msgid"].startswith("H11010000001202603")
    assert len(request["msgid"]) == 30
    (row,) = request["input"]["selinfoDetail"]
    assert {name: row[name] for name in ("med_list_codg", "fixmedins_hilist_id", "trdn_flag", "sel_retn_cnt")} == {
        "med_list_codg": "XJ01",
        "fixmedins_hilist_id": "H-1",
        "trdn_flag": "1",
        "sel_retn_cnt": "3",
    }
    assert row["finl_trns_pric"] == "12.340000"
    assert row["drugtracinfo"] == [{"drug_trac_codg": box(SPLIT, 1)}]
    assert (row["prsc_dr_name"], row["mdtrt_sn"], row["manu_date"]) == ("王医生", "V-1", "2025-01-01")
    assert row["sel_retn_time"] == "2026-03-02 12:00:00"
    assert all(value for value in row.values())


async def test_many_rows_travel_together_and_no_more_than_a_hundred(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]]
) -> None:
    await desk.in_stock(WHOLE, [box(WHOLE, number) for number in range(130)], note="N-W")
    codes = (await desk.orders.place(an_order("O-1", WHOLE, 130))).codes
    desk.record(What.DISPENSED, *codes, order="O-1")
    while await worker():
        pass
    assert [len(request["input"]["selinfoDetail"]) for request in platform.requests] == [100, 30]
    assert len({request["msgid"] for request in platform.requests}) == 2
    assert set(states(desk)) == {"accepted"}


async def hold(_message: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(2)
    return said({})


async def test_a_timeout_after_acceptance_is_unknown_and_resolved_by_asking(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]]
) -> None:
    await dispensed(desk, ("O-1", 3))

    async def take_and_hold(message: dict[str, Any]) -> web.StreamResponse:
        platform.take(message)
        return await hold(message)

    platform.script = [take_and_hold]
    await worker()
    assert states(desk) == ["unknown"]
    await worker()
    assert states(desk) == ["accepted"]
    assert [request["infno"] for request in platform.requests] == ["3505A", "3590"]


@pytest.mark.parametrize("how", ["held", "hung up", "status 502", "rubbish"])
async def test_what_the_platform_does_not_know_is_sent_again_under_its_number(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]], how: str
) -> None:
    await dispensed(desk, ("O-1", 3))

    async def fail(message: dict[str, Any]) -> web.StreamResponse:
        if how == "held":
            return await hold(message)
        if how == "hung up":
            platform.hang_up()
        return web.Response(status=502) if how == "status 502" else web.Response(body=b"<html>")

    platform.script = [fail]
    await worker()
    assert states(desk) == ["unknown"]
    await worker()
    assert rows(desk)[0][3:] == ("waiting", "the platform does not have it: sent again")
    await worker()
    assert states(desk) == ["accepted"]
    assert [request["infno"] for request in platform.requests] == ["3505A", "3590", "3505A"]
    first, _, again = platform.requests
    assert first["input"] == again["input"]
    assert first["msgid"] != again["msgid"]


async def test_after_a_restart_what_was_being_sent_is_unknown(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]]
) -> None:
    await dispensed(desk, ("O-1", 3))
    queue = SalesQueue(desk.ledger)
    queue.send(queue.due(RowState.WAITING), msgid="M", request=b"{}")
    assert states(desk) == ["sending"]
    assert queue.recover() == 1
    assert states(desk) == ["unknown"]
    await worker()
    await worker()
    assert states(desk) == ["accepted"]
    assert [request["infno"] for request in platform.requests] == ["3590", "3505A"]


async def test_a_platform_that_was_slow_and_has_it_after_all_does_not_refuse_it(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]]
) -> None:
    """The question came before the platform was done: the second sending meets its own first one."""
    await dispensed(desk, ("O-1", 3))
    late: list[dict[str, Any]] = []

    async def keep_for_later(message: dict[str, Any]) -> web.StreamResponse:
        late.append(message)
        return await hold(message)

    async def refuse_as_known(message: dict[str, Any]) -> web.StreamResponse:
        platform.take(late[0])
        serial = message["input"]["selinfoDetail"][0]["fixmedins_bchno"]
        errors = [{"fixmedins_bchno": serial, "retRslt": "0", "msgRslt": "重复上传"}]
        return said({"result": {"retRslt": "0", "msgRslt": "重复上传"}, "selinfoErrDetail": errors})

    platform.script = [keep_for_later, refuse_as_known]
    for _ in range(3):
        await worker()
    assert states(desk) == ["accepted"]


async def test_a_partly_refused_batch_keeps_the_cause_of_each_row(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]]
) -> None:
    await dispensed(desk, ("O-1", 3), ("O-2", 2))

    async def refuse_second(message: dict[str, Any]) -> web.StreamResponse:
        row = message["input"]["selinfoDetail"][1]
        errors = [{"fixmedins_bchno": row["fixmedins_bchno"], "msgRslt": "重复追溯码"}]
        text = msgspec.json.encode({"result": {"retRslt": "1"}, "selinfoErrDetail": errors}).decode()
        return said(text)

    platform.script = [refuse_second]
    await worker()
    assert [row[3:] for row in rows(desk)] == [("accepted", ""), ("refused", "重复追溯码")]


async def test_a_business_refusal_of_one_row_is_final_and_of_many_is_looked_at_one_by_one(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]]
) -> None:
    await dispensed(desk, ("O-1", 3), ("O-2", 2))

    async def refuse_all(_message: dict[str, Any]) -> web.StreamResponse:
        return said({"result": {"retRslt": "0", "msgRslt": "目录不符"}})

    async def refuse_first(message: dict[str, Any]) -> web.StreamResponse:
        rows = message["input"]["selinfoDetail"]
        return await refuse_all(message) if rows[0]["rtal_docno"] == "O-1" else platform.take(message)

    platform.script = [refuse_all, refuse_all, refuse_first, refuse_first]
    for _ in range(4):
        await worker()
    assert [row[3:] for row in rows(desk)] == [("refused", "目录不符"), ("accepted", "")]
    sent = [len(r["input"]["selinfoDetail"]) for r in platform.requests if r["infno"] == "3505A"]
    assert sent == [2, 2, 1, 1]


async def test_a_gateway_error_is_tried_again_and_in_the_end_a_person_is_called(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]]
) -> None:
    await dispensed(desk, ("O-1", 3))

    async def busy(_message: dict[str, Any]) -> web.StreamResponse:
        return said(None, infcode=-1, err_msg="系统繁忙")

    platform.script = [busy]
    await worker()
    assert rows(desk)[0][3:] == ("waiting", "系统繁忙")
    await worker()
    assert states(desk) == ["accepted"]
    await dispense_more(desk)
    platform.script = [busy] * 20
    rounds = 0
    while await worker():
        rounds += 1
    assert states(desk) == ["accepted", "refused"]
    assert rounds == 9


async def dispense_more(desk: Desk) -> None:
    codes = (await desk.orders.place(an_order("O-9", quantity=1))).codes
    desk.record(What.DISPENSED, *codes, order="O-9", how=How.AUTOMATIC)


@pytest.mark.parametrize("how", ["nobody listens", "unauthorized"])
async def test_what_certainly_did_not_arrive_waits(desk: Desk, platform: Platform, how: str) -> None:
    await dispensed(desk, ("O-1", 3))

    async def turn_away(_message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=401)

    platform.script = [turn_away]
    async with served(platform) as url, aiohttp.ClientSession() as http:
        insurer = an_insurer(desk, "http://127.0.0.1:9/fsi" if how == "nobody listens" else url)
        with pytest.raises(NotTakenError, match="no connection" if how == "nobody listens" else "401"):
            await insurer.round(http)
    assert states(desk) == ["waiting"]


async def test_a_question_without_an_answer_leaves_the_row_unknown(desk: Desk, platform: Platform) -> None:
    await dispensed(desk, ("O-1", 3))
    queue = SalesQueue(desk.ledger)
    queue.send(queue.due(RowState.WAITING), msgid="M", request=b"{}")

    async def no_such_transaction(_request: web.Request) -> web.StreamResponse:
        return said(None, infcode=-1, err_msg="3590 未开通")

    platform.handle = no_such_transaction  # type: ignore[method-assign,assignment]
    async with served(platform) as url, aiohttp.ClientSession() as http:
        with pytest.raises(NoAnswerError, match="未开通"):
            await an_insurer(desk, url).round(http)
    assert states(desk) == ["unknown"]


async def test_a_row_that_lacks_what_the_platform_demands_is_not_sent_and_says_what_to_do(
    desk: Desk, platform: Platform, worker: Callable[[], Awaitable[bool]]
) -> None:
    await desk.units(1, made=None)
    codes = (await desk.orders.place(an_order("O-1"))).codes
    desk.record(What.DISPENSED, *codes, order="O-1", how=How.AUTOMATIC)
    await worker()
    assert platform.requests == []
    assert rows(desk)[0][3] == "refused"
    assert rows(desk)[0][4].startswith("not sent: manu_date: found nothing, expected a value; announce the lot")


async def test_the_worker_runs_by_itself_through_an_outage(desk: Desk, platform: Platform) -> None:
    async def turn_away(_message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=401)

    platform.script = [turn_away]
    async with served(platform) as url:
        insurer = an_insurer(desk, url)
        task = asyncio.create_task(insurer.run())
        await dispensed(desk, ("O-1", 3), ("O-2", 2))
        troubles = set()
        tick = 0
        async with asyncio.timeout(20):
            while states(desk) != ["accepted", "accepted"]:
                tick = await desk.changes.after(tick)
                troubles.add(insurer.trouble)
        assert any("401" in trouble for trouble in troubles)
        await asyncio.sleep(0.1)
        assert insurer.trouble == ""
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# -- the envelope --------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_gateway() -> None:
    """The vector of domain facts, FSI §2."""
    signed = sign(
        Institution(code="H", paasid="p", token="EXAMPLETOKEN"), timestamp=1_767_571_200, nonce="123456789abcdefg"
    )
    assert signed["x-tif-signature"] == "D268E3738D7F8C61765A15DF6B7F5798824C3C575230040CB780B5EC93A42CB3"
    assert sign(HOSPITAL, timestamp=1, nonce="n") == {}


def test_a_message_id_is_institution_time_and_sequence() -> None:
    moment = dt.datetime(2026, 3, 2, 12, 0, 1, tzinfo=dt.UTC)
    assert msgid_of(HOSPITAL, moment, 10_042) == "H11010000001202603021200010042"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"rubbish", b'{"infcode":0,"output":"["}', b'{"infcode":0,"output":[1]}']
)
def test_what_is_no_answer_is_not_taken_for_one(body: bytes) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        read_answer(body)


def test_both_levels_of_judgement_must_say_yes() -> None:
    def judged(**answer: Any) -> tuple[bool, bool]:
        read = read_answer(msgspec.json.encode(answer))
        return read.is_business, read.is_taken

    assert judged(infcode=0, output={"result": {"retRslt": "1"}}) == (True, True)
    assert judged(infcode="0", output={"result": {"retRslt": 1}}) == (True, True)
    assert judged(infcode=0, output='{"result": {"retRslt": "0"}}') == (True, False)
    assert judged(infcode=-1, err_msg="x", output=None) == (False, False)
    assert judged(infcode=0, output=None) == (True, True)


async def test_numbers_are_decimal_text_of_the_fields_lengths(desk: Desk) -> None:
    product = msgspec.structs.replace(SPLIT, id="THIRDS", units=3, box_price="10", drug_ids=("8100009",))
    await desk.masterdata.put_products([product])
    await desk.in_stock(product, [box(product, 1)], note="N-1")
    desk.record(What.PRESCANNED, box(product, 1), units=3)
    codes = (await desk.orders.place(an_order("O-1", product, 2))).codes
    desk.record(What.DISPENSED, *codes, order="O-1", how=How.AUTOMATIC)
    (sale,) = SalesQueue(desk.ledger).due(RowState.WAITING)
    row = row_of(HOSPITAL, sale, at=desk.time.local(NOON_US))
    assert row is not None
    assert (row["finl_trns_pric"], row["sel_retn_cnt"]) == ("3.333333", "2")
    assert gap(sale, row) == ""
    assert gap(sale, None).startswith("product: ")
    long = msgspec.structs.replace(sale, visit="V" * 31)
    assert "mdtrt_sn: found 31 characters" in gap(long, row_of(HOSPITAL, long, at=desk.time.local(1)))
