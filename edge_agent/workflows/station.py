"""A scan station: the seat of the attached scanner, and a seat for each PDA. Receipts and trays are shared."""

from drivers.abilities import Scanner
from edge_agent.people import People
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.damage import Damage
from edge_agent.workflows.desk import Desk, Steps, Tally
from edge_agent.workflows.handout import HandOut
from edge_agent.workflows.lending import Lending
from edge_agent.workflows.lookup import LookUp
from edge_agent.workflows.orders import Orders
from edge_agent.workflows.prescan import Prescan
from edge_agent.workflows.receive import Receive
from edge_agent.workflows.returns import Returns
from edge_agent.workflows.verdicts import Step
from sync_protocol.documents import Route

PDAS_AT_MOST = 64


class Station:
    """``run`` is a task of its own: it answers the attached scanner whatever becomes of the page."""

    def __init__(self, bench: Bench, *, people: People, scanner: Scanner) -> None:
        self._people = people
        self._scanner = scanner
        self.steps = steps_of(bench)
        self.desk = Desk(self.steps, people=people)
        """The seat of the attached scanner."""
        self._pdas: dict[str, Desk] = {}

    async def run(self) -> None:
        """Answer the attached scanner until cancelled."""
        async for scan in self._scanner.scans():
            await self.desk.scan(scan)

    def pda(self, key: str) -> Desk:
        """The seat of one PDA. Past the bound, the seat that was made first is cleared."""
        if key not in self._pdas:
            if len(self._pdas) >= PDAS_AT_MOST:
                self._pdas.pop(next(iter(self._pdas))).sign_in(None)
            self._pdas[key] = Desk(self.steps, people=self._people)
        return self._pdas[key]

    def leave(self, key: str) -> None:
        """The PDA's person signed out."""
        desk = self._pdas.pop(key, None)
        if desk is not None:
            desk.sign_in(None)


def steps_of(bench: Bench) -> Steps:
    """Every step of a station."""
    orders, returns, lending = Orders(bench, route=Route.STATION), Returns(bench), Lending(bench)
    return Steps(
        bench=bench,
        receive=Receive(bench),
        prescan=Prescan(bench),
        orders=orders,
        handout=HandOut(bench, orders),
        look_up=LookUp(bench),
        returns=returns,
        lending=lending,
        tasks={Step.RETURN: returns, Step.LEND: lending, Step.DAMAGE: Damage(bench)},
        tally=Tally(),
    )
