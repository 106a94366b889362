"""The workplaces of a soak: simulated devices plugged in, whoever works there, and what is delivered to them."""

import datetime as dt
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from hardware_sims import settings
from hardware_sims.catalogue import Role, of_role
from hardware_sims.devices.llrp_reader import LlrpReader
from hardware_sims.devices.lock_board import SimLockBoard
from hardware_sims.devices.packager import SimPackager
from hardware_sims.devices.scanner import SimScanner
from hardware_sims.equipment import CABINET_PLACE
from hardware_sims.faults import Line, split
from hardware_sims.radio import RadioField
from hardware_sims.scenarios.cabinet_page import CabinetPage
from hardware_sims.scenarios.page import Page
from hardware_sims.scenarios.plan import STAFF
from hardware_sims.scenarios.station_page import ScannerSeat
from hardware_sims.serve import PtyPort, TcpPort
from hardware_sims.settings import Workplace
from hardware_sims.soak.attendant import Attendant
from hardware_sims.soak.hands import Hands
from hardware_sims.soak.nurse import Nurse
from hardware_sims.soak.pharmacist import Pharmacist
from hardware_sims.soak.physical import Act, PhysicalLog
from hardware_sims.soak.supply import BoxSupply, PieceSupply

_KINDS = ("station", "cabinet", "packager", "station", "station")
_PILLS = 1_000_000
_POUCH_S = 0.05


def agent_names(count: int) -> list[str]:
    """Five workplaces are three stations, a cabinet and a packager beside the first station; then it begins anew."""
    numbers: dict[str, int] = {}
    names = []
    for place in range(count):
        kind = _KINDS[place % len(_KINDS)]
        numbers[kind] = numbers.get(kind, 0) + 1
        names.append(f"{kind}-{numbers[kind]}")
    return names


class Site:
    """``plug_in`` first; then ``workplaces`` are known, and ``staff`` can come once the agents have their addresses."""

    def __init__(self, directory: Path, agents: Sequence[str], *, seed: int, log: PhysicalLog) -> None:
        self.workplaces: dict[str, Workplace] = {}
        self.boxes: list[BoxSupply] = []
        self.pieces: list[PieceSupply] = []
        self._directory = directory
        self._agents = agents
        self._seed = seed
        self._log = log
        self._scanners: dict[str, SimScanner] = {}
        self._boards: dict[str, SimLockBoard] = {}
        self._fields: dict[str, RadioField] = {}
        self._supply: dict[str, BoxSupply] = {}

    async def plug_in(self, wires: AsyncExitStack, *, today: dt.date) -> None:
        for agent in self._agents:
            kind, _, number = agent.partition("-")
            match kind:
                case "station":
                    await self._plug_station(agent, int(number), wires, today)
                case "cabinet":
                    await self._plug_cabinet(agent, int(number), wires, today)
                case _:
                    await self._plug_packager(agent, int(number), wires)

    async def staff(self, urls: dict[str, str], seats: AsyncExitStack) -> list[Hands]:
        """Whoever works at each agent, before its page."""
        return [await self._who(agent, urls[agent], seats) for agent in self._agents]

    async def _plug_station(self, agent: str, number: int, wires: AsyncExitStack, today: dt.date) -> None:
        scanner = self._scanners[agent] = SimScanner(sends_aim=True)
        long_line = Line(split(chance=0.3, wait_s=0.002), seed=self._seed)
        port = await wires.enter_async_context(PtyPort(self._directory / agent, scanner.talk, line=long_line))
        self.workplaces[agent] = settings.station(_pharmacy(number), scanner=port.url)
        has_packager = f"packager-{number}" in self._agents
        roles = (Role.STATION, Role.PACKAGER) if has_packager else (Role.STATION,)
        supply = BoxSupply(_pharmacy(number), number=number, roles=roles, seed=self._seed, today=today)
        self._supply[agent] = supply
        self.boxes.append(supply)

    async def _plug_cabinet(self, agent: str, number: int, wires: AsyncExitStack, today: dt.date) -> None:
        board = self._boards[agent] = SimLockBoard()
        field = self._fields[agent] = RadioField(seed=self._seed + number)
        reader = await wires.enter_async_context(LlrpReader(field, cabinet=CABINET_PLACE))
        port = await wires.enter_async_context(PtyPort(self._directory / agent, board.talk))
        location = f"cath-lab-{number}"
        self.workplaces[agent] = settings.cabinet(location, lock_board=port.url, reader_port=reader.port)
        self.pieces.append(PieceSupply(location, number=number, seed=self._seed, today=today))

    async def _plug_packager(self, agent: str, number: int, wires: AsyncExitStack) -> None:
        machine = SimPackager(
            canisters={good.id: _PILLS for good in of_role(Role.PACKAGER)},
            pouch_s=_POUCH_S,
            on_pouch=lambda job: self._log.write(
                agent, Act.POUCHED, order=job.order, codes=[code for dose in job.doses for code in dose.codes]
            ),
        )
        port = await wires.enter_async_context(TcpPort(machine.talk))
        self.workplaces[agent] = settings.packager(_pharmacy(number), machine=port.url)

    async def _who(self, agent: str, url: str, seats: AsyncExitStack) -> Hands:
        kind, _, number = agent.partition("-")
        match kind:
            case "station":
                seat = await seats.enter_async_context(ScannerSeat(url, self._scanners[agent]))
                return Pharmacist(agent, seat, STAFF[int(number) % 2], self._log, self._supply[agent])
            case "cabinet":
                page = await seats.enter_async_context(CabinetPage(url))
                return Nurse(
                    agent,
                    page,
                    STAFF[2],
                    self._log,
                    field=self._fields[agent],
                    board=self._boards[agent],
                    random=Random(f"soak nurse {self._seed} {agent}"),
                )
            case _:
                return Attendant(agent, await seats.enter_async_context(Page(url)), STAFF[1], self._log)


def _pharmacy(number: int) -> str:
    return f"pharmacy-{number}"
