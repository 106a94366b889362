"""The insurer of a long play: it judges like any other, and keeps of each row only what it judges by."""

import datetime as dt
from collections import Counter as Sum
from collections.abc import Callable, Iterable, Mapping

import msgspec

from hardware_sims.catalogue import Good
from hardware_sims.platforms.insurer import Insurer
from hardware_sims.platforms.insurer_counter import Counter
from hardware_sims.settings import INSTITUTION


class LeanCounter(Counter):
    """``of_boxes``: units of each box, or the whole box, that were sold and not returned."""

    def __init__(self, contents: Mapping[str, int]) -> None:
        super().__init__(contents)
        self.of_boxes: Sum[str] = Sum()

    def sell(self, row: Mapping[str, object]) -> str:
        return super().sell(row) or self._forget(row)

    def take_back(self, row: Mapping[str, object]) -> str:
        return super().take_back(row) or self._forget(row)

    def _forget(self, row: Mapping[str, object]) -> str:
        serial = str(row["fixmedins_bchno"])
        kept = self.accepted[serial]
        self.accepted[serial] = msgspec.structs.replace(kept, fields={"fixmedins_bchno": serial})
        for code in kept.codes:
            self.of_boxes[code] += int(kept.share)
        return ""


class LeanInsurer(Insurer):
    """``know`` the national list before the first sale."""

    counter: LeanCounter

    def __init__(self, *, now: Callable[[], dt.datetime]) -> None:
        super().__init__(institution=INSTITUTION, contents={}, now=now)
        self.know(())

    def know(self, goods: Iterable[Good]) -> None:
        self.counter = LeanCounter({good.insurance_code: good.units for good in goods})
