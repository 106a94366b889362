"""Asking central for what is not held: many who wait ask one question."""

import asyncio

from sync_protocol.machines import holding as on
from tests.unit.edge_core.shelf import Shelf, code


async def test_who_wants_something_in_the_same_moment_asks_with_the_others_and_once_more_after_each_grant(
    shelf: Shelf,
) -> None:
    rights = shelf.hand.rights
    asked: list[tuple[str, ...]] = []
    rights.ask_by(asked.append)
    rights.holding.handle(on.Welcomed(session=rights.holding.session, incarnation=0, now_us=shelf.clock.mono_us()))
    waiting = [asyncio.create_task(rights.obtain([code(number)])) for number in range(100, 120)]
    await asyncio.sleep(0.01)
    assert asked == [tuple(code(number) for number in range(100, 120))]
    shelf.hand.grant([code(100)])
    rights.holding.handle(on.Welcomed(session=rights.holding.session, incarnation=0, now_us=shelf.clock.mono_us()))
    rights.changed()
    await asyncio.sleep(0.01)
    assert asked[1:] == [tuple(code(number) for number in range(101, 120))]
    for task in waiting[1:]:
        task.cancel()
    assert await waiting[0]
