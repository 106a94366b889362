"""Student's paired t-test.

The two-sided probability for a whole number n of degrees of freedom is a finite sum, so nothing has to converge
(Abramowitz and Stegun, 26.7.3 and 26.7.4, with θ = atan(t / √n)):

::

    n odd    1 - A = 1 - 2/π · (θ + sin θ · (cos θ + 2/3 cos³θ + … + (2·4…(n-3))/(3·5…(n-2)) cosⁿ⁻²θ))
    n even   1 - A = 1 - sin θ · (1 + 1/2 cos²θ + … + (1·3…(n-3))/(2·4…(n-2)) cosⁿ⁻²θ)
"""

import math
import statistics
from collections.abc import Sequence

import msgspec


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """``t`` and ``p`` None: there are fewer than two pairs, or all differ by the same amount."""

    pairs: int
    difference: float
    """Mean of second minus first; 0 without pairs."""
    t: float | None = None
    p: float | None = None

    @property
    def degrees(self) -> int:
        return self.pairs - 1


def paired(first: Sequence[float | None], second: Sequence[float | None]) -> Paired:
    """The n-th value of one against the n-th of the other; pairs that lack one are left out."""
    differences = [b - a for a, b in zip(first, second, strict=False) if a is not None and b is not None]
    count = len(differences)
    if not count:
        return Paired(pairs=0, difference=0.0)
    mean = statistics.fmean(differences)
    spread = statistics.stdev(differences) if count > 1 else 0.0
    if spread <= abs(mean) * 1e-12:  # what is left of equal differences after rounding
        return Paired(pairs=count, difference=mean)
    t = mean / (spread / math.sqrt(count))
    return Paired(pairs=count, difference=mean, t=t, p=two_sided(t, count - 1))


def two_sided(t: float, degrees: int) -> float:
    """How likely a t this far from 0 is, on either side, where there is no difference. ``degrees``: 1 or more."""
    theta = math.atan(abs(t) / math.sqrt(degrees))
    sine, square = math.sin(theta), math.cos(theta) ** 2
    is_odd = degrees % 2
    term = math.cos(theta) if is_odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 + is_odd, degrees - 1, 2):
        term *= square * (k - 1) / k
        total += term
    inside = 2 / math.pi * (theta + sine * total) if is_odd else sine * total
    return min(1.0, max(0.0, 1.0 - inside))
