import asyncio

import pytest

from edge_agent.notify import Change, Notifier


async def test_repeats_coalesce_and_keep_the_order_of_first_mention() -> None:
    notifier = Notifier()
    with notifier.subscribe() as page:
        notifier.publish(Change.SYNC)
        notifier.publish(Change.ORDERS, Change.SYNC)
        assert await page.next() == (Change.SYNC, Change.ORDERS)


async def test_past_the_bound_the_page_refreshes_everything() -> None:
    notifier = Notifier()
    with notifier.subscribe(bound=3) as page:
        for number in range(10):
            notifier.publish(f"verdicts:{number}")
        assert await page.next() == (Change.EVERYTHING,)
        notifier.publish(Change.NOTES)
        assert await page.next() == (Change.NOTES,)


async def test_nothing_is_heard_twice_and_next_waits() -> None:
    notifier = Notifier()
    with notifier.subscribe() as page:
        notifier.publish(Change.STOCK)
        await page.next()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(page.next(), 0.02)


async def test_a_page_that_left_costs_nothing() -> None:
    notifier = Notifier()
    with notifier.subscribe():
        assert notifier.subscribers == 1
    assert notifier.subscribers == 0
    notifier.publish(Change.EVERYTHING)


async def test_every_page_hears_every_change() -> None:
    notifier = Notifier()
    with notifier.subscribe() as one, notifier.subscribe() as two:
        notifier.publish(Change.CABINET)
        assert await one.next() == await two.next() == (Change.CABINET,)
