"""The code platform's connector against the simulated platform: packs into the note, each receipt once."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from central.connectors.msfx import CodePlatform as Connector
from central.connectors.platform_queue import PlatformQueue
from central.connectors.remote import NoAnswerError, NotTakenError
from central.connectors.top import Caller, SignMethod
from central.stock.packs import Packs
from hardware_sims.platforms.msfx import CodePlatform, Trouble, case, seeded_troubles
from hardware_sims.platforms.serving import served
from sync_protocol.documents import DeliveryNote, Pack
from sync_protocol.facts import What
from tests.unit.central_core.desk import EXPIRY, WHOLE, Desk, a_note, box

CASE, BUNDLE = "83000000000000000001", "82000000000000000001"
OTHER_BUNDLE = "82000000000000000002"
BOXES = tuple(box(WHOLE, number) for number in range(4))
MADE = dt.date(2025, 1, 1)
PACKS = case(CASE, {BUNDLE: BOXES[:2], OTHER_BUNDLE: BOXES[2:]}, lot="L1", expiry=EXPIRY, made=MADE)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "data")
    await desk.catalogue()
    yield desk
    desk.close()


def a_platform(desk: Desk, **fields: object) -> CodePlatform:
    given = {"packs": PACKS, "suppliers": {"supplier": "E77"}} | fields
    now: Callable[[], dt.datetime] = lambda: desk.time.local(desk.time.now_us())  # noqa: E731
    return CodePlatform(app_key="12129701", secret="s3cret", ref_ent_id="REF1", now=now, **given)  # type: ignore[arg-type]


@asynccontextmanager
async def connected(
    desk: Desk, platform: CodePlatform, *, secret: str = "s3cret", method: SignMethod = SignMethod.MD5
) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """One round of the connector, with the clock an hour on: whatever waits is due."""
    caller = Caller(app_key="12129701", secret=secret, ref_ent_id="REF1", ent_id="E1", sign_method=method)
    timeout = aiohttp.ClientTimeout(total=0.5)
    async with served(platform.application()) as address, aiohttp.ClientSession(timeout=timeout) as http:
        connector = Connector(
            PlatformQueue(desk.ledger),
            Packs(desk.ledger),
            caller,
            url=f"{address}/router/rest",
            time=desk.time,
            changes=desk.changes,
            timeout_s=0.5,
            per_s=200,
        )

        async def step() -> bool:
            desk.clock.us += 600_000_000
            return await connector.round(http)

        yield step


def tasks(desk: Desk) -> list[tuple[str, str]]:
    return desk.rows("SELECT kind, state FROM platform_task ORDER BY id")


def the_note(desk: Desk) -> DeliveryNote:
    note = Packs(desk.ledger).note("N-1")
    assert note is not None
    return note


@pytest.mark.covers("A01")
@pytest.mark.parametrize("method", SignMethod)
async def test_the_packs_of_an_announced_note_are_asked_for_once_and_stand_in_the_note(
    desk: Desk, method: SignMethod
) -> None:
    platform = a_platform(desk)
    await desk.receiving.announce(a_note(WHOLE, BOXES[:3], note="N-1"))
    async with connected(desk, platform, method=method) as step:
        assert await step()
        assert not await step()
        assert platform.asked == ["query.relation"] * 3  # a box, its bundle, its case
        assert the_note(desk).packs == (
            Pack(code=BUNDLE, boxes=(0, 1)),
            Pack(code=OTHER_BUNDLE, boxes=(2,), extra=(BOXES[3],)),
            Pack(code=CASE, boxes=(0, 1, 2), extra=(BOXES[3],)),
        )
        assert desk.post.broadcast[-1].rows.notes == (the_note(desk),)
        await desk.receiving.announce(a_note(WHOLE, BOXES[3:], note="N-2"))
        await step()
        assert len(platform.asked) == 3
    assert tasks(desk) == [("relation", "done"), ("relation", "done")]


@pytest.mark.covers("A01")
async def test_a_receipt_is_reported_and_its_processing_is_asked_for(desk: Desk) -> None:
    platform = a_platform(desk)
    await desk.in_stock(WHOLE, BOXES, note="N-1")
    async with connected(desk, platform) as step:
        while await step():
            pass
    assert tasks(desk) == [("relation", "done"), ("receipt", "done")]
    (bill,) = platform.bills.values()
    assert (bill.kind, bill.trace_codes) == ("102", BOXES)
    assert (bill.fields["from_user_id"], bill.fields["to_user_id"]) == ("E77", "E1")
    assert bill.fields["from_bill_code"] == "N-1"


@pytest.mark.parametrize("trouble", [Trouble.TIMEOUT_AFTER_COMMIT, Trouble.HANG_UP, Trouble.SYSTEM_ERROR])
async def test_an_upload_without_an_answer_is_unknown_and_asked_about(desk: Desk, trouble: Trouble) -> None:
    platform = a_platform(desk, troubles={5: trouble})  # box, bundle, case, supplier, then the bill
    await desk.in_stock(WHOLE, BOXES, note="N-1")
    async with connected(desk, platform) as step:
        await step()
        await step()
        assert tasks(desk)[1] == ("receipt", "unknown")
        while await step():
            pass
    assert tasks(desk)[1] == ("receipt", "done")
    assert len(platform.bills) == 1
    assert platform.asked.count("uploadinoutbill") == 1  # taken: once


async def test_what_the_platform_refuses_is_kept_with_its_cause(desk: Desk) -> None:
    platform = a_platform(desk, packs=())
    await desk.in_stock(WHOLE, BOXES, note="N-1")
    async with connected(desk, platform) as step:
        while await step():
            pass
    assert tasks(desk) == [("relation", "refused"), ("receipt", "refused")]
    causes = [cause for (cause,) in desk.rows("SELECT cause FROM platform_task ORDER BY id")]
    assert causes == ["the platform has no outer pack of these boxes", f"追溯码不存在：{BOXES[0]}"]


async def test_a_supplier_that_the_platform_does_not_know_stops_the_bill_with_its_name(desk: Desk) -> None:
    platform = a_platform(desk, suppliers={})
    await desk.in_stock(WHOLE, BOXES, note="N-1")
    async with connected(desk, platform) as step:
        while await step():
            pass
    ((cause,),) = desk.rows("SELECT cause FROM platform_task WHERE kind = 'receipt'")
    assert cause == "not sent: the platform does not know supplier"
    assert platform.bills == {}


async def test_a_wrong_secret_and_the_limit_of_calls_are_no_loss(desk: Desk) -> None:
    platform = a_platform(desk, per_s=1)
    await desk.receiving.announce(a_note(WHOLE, BOXES, note="N-1"))
    async with connected(desk, platform, secret="other") as step:
        with pytest.raises(NotTakenError, match="25 Invalid signature"):
            await step()
    async with connected(desk, platform) as step:
        with pytest.raises(NotTakenError, match="7 App Call Limited"):
            await step()
    assert tasks(desk) == [("relation", "waiting")]


async def test_everything_arrives_once_through_all_troubles(desk: Desk) -> None:
    platform = a_platform(desk, troubles=seeded_troubles(5))
    await desk.receiving.announce(a_note(WHOLE, BOXES, note="N-1"))
    for place in range(4):
        desk.record(What.RECEIVED, BOXES[place], document="N-1")
    async with connected(desk, platform) as step, asyncio.timeout(60):
        while True:
            try:
                if not await step():
                    break
            except (NotTakenError, NoAnswerError):
                continue  # as tenacity does, without its waits
    assert platform.has_met_all
    assert tasks(desk) == [("relation", "done"), *[("receipt", "done")] * 4]
    assert sorted(code for bill in platform.bills.values() for code in bill.trace_codes) == sorted(BOXES)
