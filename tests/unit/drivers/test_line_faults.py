from collections.abc import Callable

import pytest

from hardware_sims import faults
from hardware_sims.faults import Fault, Line, Step

CODES = [b"81002345678901234567\r", b"81002345678901234568\r", b"81002345678901234569\r"]


def arrives(line: Line) -> list[Step]:
    return [step for code in CODES for step in line.send(code)]


def data_of(steps: list[Step]) -> bytes:
    return b"".join(step.data for step in steps)


def test_a_line_without_faults_is_a_line() -> None:
    assert arrives(Line()) == [Step(data=code) for code in CODES]


@pytest.mark.parametrize(
    "fault",
    [
        lambda: faults.split(chance=0.5),
        lambda: faults.glue(chance=0.5),
        lambda: faults.drop(chance=0.1),
        lambda: faults.garble(chance=0.1),
        lambda: faults.delay(longest_s=1.0),
        lambda: faults.duplicate(chance=0.5),
        lambda: faults.hang_up(chance=0.5),
    ],
)
def test_a_seed_replays_its_line(fault: Callable[[], Fault]) -> None:
    first, again = (arrives(Line(fault(), seed=7)) for _ in range(2))
    others = [arrives(Line(fault(), seed=seed)) for seed in range(8, 28)]
    assert first == again
    assert any(other != first for other in others)


def test_split_keeps_every_byte_in_order() -> None:
    steps = arrives(Line(faults.split(most_parts=4, wait_s=0.01), seed=1))
    assert data_of(steps) == b"".join(CODES)
    assert len(steps) == 4 * len(CODES)
    assert [step.wait_s for step in steps[:4]] == [0.0, 0.01, 0.01, 0.01]


def test_glue_joins_what_was_sent_apart() -> None:
    line = Line(faults.glue())
    assert line.send(CODES[0]) == []
    assert line.send(CODES[1]) == [Step(data=CODES[0] + CODES[1])]


def test_drop_loses_bytes_and_garble_changes_them() -> None:
    dropped = data_of(arrives(Line(faults.drop(chance=0.2), seed=1)))
    garbled = data_of(arrives(Line(faults.garble(chance=0.2), seed=1)))
    sent = b"".join(CODES)
    assert 0 < len(dropped) < len(sent)
    assert len(garbled) == len(sent)
    assert 0 < sum(a != b for a, b in zip(garbled, sent, strict=True)) < len(sent)


def test_duplicate_sends_twice_and_delay_sends_late() -> None:
    assert data_of(Line(faults.duplicate()).send(CODES[0])) == CODES[0] * 2
    (late,) = Line(faults.delay(longest_s=0.5), seed=1).send(CODES[0])
    assert 0 < late.wait_s <= 0.5


def test_hang_up_ends_the_line_inside_the_bytes() -> None:
    (step,) = Line(faults.hang_up(chance=1.0), seed=3).send(CODES[0])
    assert step.hangs_up
    assert CODES[0].startswith(step.data)


def test_faults_work_one_on_the_other() -> None:
    steps = Line(faults.duplicate(), faults.split(most_parts=2), faults.hang_up(chance=1.0), seed=1).send(CODES[0])
    assert len(steps) == 4
    assert all(step.hangs_up for step in steps)
