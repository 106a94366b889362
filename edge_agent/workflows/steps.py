"""The steps of a station, put together once and shared by its desks, and the sum of what these answered."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from edge_agent.workflows.arriving import Arriving
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.count import Count
from edge_agent.workflows.damage import Damage
from edge_agent.workflows.handout import HandOut
from edge_agent.workflows.issuing import Issuing
from edge_agent.workflows.lending import Lending
from edge_agent.workflows.lookup import LookUp
from edge_agent.workflows.orders import Orders
from edge_agent.workflows.picking import Task
from edge_agent.workflows.picture import Pictures
from edge_agent.workflows.prescan import Prescan
from edge_agent.workflows.receive import Receive
from edge_agent.workflows.returns import Returns
from edge_agent.workflows.sheets import Sheets
from edge_agent.workflows.transfers import Transfers
from edge_agent.workflows.verdicts import Step, Verdict
from sync_protocol.documents import Route


class Tally:
    """What all desks of this process answered, for the counters on the metrics page."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def add(self, verdict: Verdict) -> None:
        self.results[verdict.result] += 1
        if verdict.is_refused:
            self.refusals[verdict.reason] += 1


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    bench: Bench
    receive: Receive
    prescan: Prescan
    orders: Orders
    pictures: Pictures
    handout: HandOut
    look_up: LookUp
    transfers: Transfers
    returns: Returns
    lending: Lending
    count: Count
    sheets: Sheets
    tasks: Mapping[Step, Task]
    """Steps beside the main way that take one package after the other."""
    tally: Tally


def steps_of(bench: Bench) -> Steps:
    """Every step of a station."""
    orders, returns, lending, count = Orders(bench, route=Route.STATION), Returns(bench), Lending(bench), Count(bench)
    transfers = Transfers(bench)
    return Steps(
        bench=bench,
        receive=Receive(bench),
        prescan=Prescan(bench),
        orders=orders,
        pictures=Pictures(),
        handout=HandOut(bench, orders),
        look_up=LookUp(bench),
        transfers=transfers,
        returns=returns,
        lending=lending,
        count=count,
        sheets=Sheets(bench),
        tasks={
            Step.ISSUE: Issuing(bench, transfers),
            Step.ARRIVE: Arriving(bench, transfers),
            Step.RETURN: returns,
            Step.LEND: lending,
            Step.DAMAGE: Damage(bench),
            Step.COUNT: count,
        },
        tally=Tally(),
    )
