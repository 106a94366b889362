"""Acts of a month at the same time: what depends on another waits for it, and nothing else does."""

import asyncio

import pytest

from hardware_sims.month.abreast import Abreast


async def test_acts_that_share_a_name_are_done_in_the_order_of_their_starts() -> None:
    told: list[str] = []
    gate = asyncio.Event()

    async def slow() -> str:
        await gate.wait()
        told.append("slow")
        return "slow"

    async def quick(name: str) -> str:
        told.append(name)
        gate.set()
        return name

    acts = Abreast[str]()
    acts.start(slow(), "aspirin", "first seat")
    acts.start(quick("same product"), "aspirin", "second seat")
    acts.start(quick("another"), "heparin", "third seat")
    assert await acts.over() == ["slow", "same product", "another"], "answers in the order of the starts"
    assert told == ["another", "slow", "same product"]


async def test_when_one_fails_the_others_end_and_nothing_waits_for_ever() -> None:
    ended: list[str] = []

    async def fail() -> None:
        raise LookupError("no such shelf")

    async def endless(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    acts = Abreast[None]()
    acts.start(endless("one"), "a")
    acts.start(endless("behind it"), "a")
    acts.start(fail(), "b")
    with pytest.raises(LookupError):
        await acts.over()
    assert ended == ["one"], "what was behind it never began"
