"""A scan station: the seat of the attached scanner, and a seat for each PDA. Receipts and trays are shared."""

from collections.abc import Mapping

from drivers.abilities import Scanner
from edge_agent.people import People
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.steps import steps_of
from edge_agent.workflows.vending import Vending

PDAS_AT_MOST = 64


class Station:
    """``run`` is a task of its own: it answers the attached scanner whatever becomes of the page."""

    def __init__(
        self, bench: Bench, *, people: People, scanner: Scanner, machines: Mapping[str, str] | None = None
    ) -> None:
        self._people = people
        self._scanner = scanner
        self.steps = steps_of(bench)
        self.vending = Vending(bench)
        self.machines = machines or {}
        """Automated dispensing cabinets by name, each with the token that it shows."""
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
