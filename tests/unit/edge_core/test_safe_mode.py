"""What fails again and again is left out and tried ever later; whatever else there is goes on."""

import asyncio
from pathlib import Path

import pytest

from edge_agent import safe_mode
from edge_agent.errors import JournalCorruptError
from edge_agent.safe_mode import ENDED_UNASKED, LONGEST_PAUSE_S, WITHIN_US, SafeMode, Starts, pause_s

NOW_US = 1_772_413_200_000_000


def test_after_three_starts_that_ended_unasked_comes_safe_mode(tmp_path: Path) -> None:
    starts = Starts(tmp_path / "starts.json")
    begun = [starts.begin(NOW_US + number * 1_000_000) for number in range(ENDED_UNASKED + 2)]
    assert begun == [False] * ENDED_UNASKED + [True, True]


def test_starts_of_another_hour_do_not_count_whichever_way_the_clock_jumped(tmp_path: Path) -> None:
    starts = Starts(tmp_path / "starts.json")
    for us in (NOW_US, NOW_US + 1, NOW_US + 2 * WITHIN_US):
        assert not starts.begin(us)
    assert not starts.begin(NOW_US + WITHIN_US // 2)


def test_an_end_as_asked_begins_anew(tmp_path: Path) -> None:
    starts = Starts(tmp_path / "starts.json")
    for _ in range(ENDED_UNASKED):
        starts.begin(NOW_US)
    starts.ended()
    assert not starts.begin(NOW_US)


def test_a_file_that_is_damaged_or_cannot_be_written_stops_no_start(tmp_path: Path) -> None:
    (tmp_path / "starts.json").write_bytes(b"{")
    assert not Starts(tmp_path / "starts.json").begin(NOW_US)
    nowhere = Starts(tmp_path / "none" / "starts.json")
    assert not nowhere.begin(NOW_US)
    nowhere.ended()


def test_it_is_tried_again_ever_later_and_at_least_every_hour() -> None:
    assert [pause_s(times) for times in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 16.0]
    assert pause_s(13) == pause_s(10_000) == LONGEST_PAUSE_S


async def test_a_part_that_fails_is_named_and_tried_again_until_it_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_mode, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(safe_mode, "CALM_S", 0.5)
    mode = SafeMode(tell=lambda: told.append(tuple(each.times for each in mode.failing.values())))
    told: list[tuple[int, ...]] = []
    runs = 0

    async def part() -> None:
        nonlocal runs
        runs += 1
        if runs <= 2:
            raise ValueError("not a state: nonsense")
        await asyncio.Event().wait()

    keeping = asyncio.create_task(mode.keep("workplace", part))
    async with asyncio.timeout(60):
        while not told or told[-1]:
            assert all(each.cause == "ValueError: not a state: nonsense" for each in mode.failing.values())
            await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.wait([keeping])
    assert told == [(1,), (2,), ()]
    assert runs == 3


async def test_an_error_that_says_what_to_do_ends_the_agent_as_ever() -> None:
    async def journal() -> None:
        raise JournalCorruptError("salvage it")

    async def sync() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(journal())

    mode = SafeMode(tell=lambda: None)
    with pytest.raises(JournalCorruptError):
        await mode.keep("journal", journal)
    with pytest.raises(ExceptionGroup):
        await mode.keep("sync", sync)
    assert not mode.failing
