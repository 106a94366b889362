"""The paired t-test against values that were published long before it."""

import math

import pytest

from central.indicators.student import paired, two_sided

# Two-sided critical values (Fisher and Yates; NIST Engineering Statistics Handbook, table 1.3.6.7.2).
TABLE = [
    (1, 12.706, 0.05),
    (2, 4.303, 0.05),
    (3, 3.182, 0.05),
    (4, 4.604, 0.01),
    (5, 2.571, 0.05),
    (9, 3.250, 0.01),
    (10, 2.228, 0.05),
    (27, 2.052, 0.05),
    (30, 2.042, 0.05),
    (30, 3.385, 0.002),
    (60, 2.000, 0.05),
    (100, 1.984, 0.05),
]


@pytest.mark.parametrize(("degrees", "t", "p"), TABLE)
def test_critical_values_are_those_of_the_tables(degrees: int, t: float, p: float) -> None:
    assert two_sided(t, degrees) == pytest.approx(p, rel=0.005)
    assert two_sided(-t, degrees) == two_sided(t, degrees)


@pytest.mark.parametrize("degrees", [*range(1, 13), 29, 30, 121, 365])
@pytest.mark.parametrize("t", [0.05, 0.7, 1.9, 4.2])
def test_the_sum_is_the_integral_of_the_density(degrees: int, t: float) -> None:
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)
    steps = 2_000
    width = t / steps
    heights = [scale * (1 + (n * width) ** 2 / degrees) ** (-(degrees + 1) / 2) for n in range(steps + 1)]
    simpson = width / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))
    assert two_sided(t, degrees) == pytest.approx(1 - 2 * simpson, abs=1e-10)


def test_the_sleep_of_student() -> None:
    """Student 1908, after Cushny and Peebles: hours of sleep that two drugs gave to ten people. t = 4.06."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired(first, second)
    assert (found.pairs, found.degrees) == (10, 9)
    assert found.difference == pytest.approx(1.58)
    assert found.t == pytest.approx(4.0621, abs=5e-5)
    assert found.p == pytest.approx(0.002833, abs=5e-7)


def test_pairs_that_lack_a_value_are_left_out() -> None:
    assert paired([1.0, None, 3.0, 4.0], [2.0, 9.0, None, 7.0]).pairs == 2
    assert paired([1.0, 2.0, 3.0], [2.0, 4.5]).pairs == 2
    assert paired([], [1.0]).pairs == 0


def test_without_spread_there_is_no_test() -> None:
    assert paired([1.0], [2.0]).p is None
    assert paired([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]).p is None
    assert paired([1.0, 2.0], [1.0, 2.0]).p is None


def test_far_out_nothing_is_left() -> None:
    assert two_sided(0.0, 7) == pytest.approx(1.0)
    assert 0.0 <= two_sided(1e6, 27) < 1e-9
