"""Recalls as they happen: issued and lifted at the central that counts."""

from central.stock.recall_rows import Row
from tests.simulation.centrals import Centrals
from tests.simulation.plan import Decision
from tests.simulation.workplace import pick

PRODUCT = "aspirin"
_ACTS = {"recall", "lift"}
_BY_LOT = 0.3
"""Of three recalls about one is of a lot."""


class Recalling:
    """Two people at the console of the central that counts."""

    def __init__(self, centrals: Centrals) -> None:
        self._centrals = centrals
        self._said = 0

    def knows(self, decision: Decision) -> bool:
        return decision.what in _ACTS

    def do(self, decision: Decision) -> None:
        central = self._centrals.main
        if central.process is None:
            return
        office = central.process.office
        if decision.what == "lift":
            recall_id = pick(office.active(), decision.pick)
            if recall_id is not None:
                central.does(lambda: office.unsay(recall_id))
            return
        item = pick(sorted(central.books.items()), decision.pick)
        if item is None:
            return
        self._said += 1
        lot = central.around.world.lots[item.partition("#")[0]] if decision.more < _BY_LOT else ""
        codes = () if lot else (item,)
        row = Row(id=f"r{self._said}", version=0, product=PRODUCT, lot=lot, codes=codes, reason="fault")
        central.does(lambda: office.say(row))
