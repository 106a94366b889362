"""The simulated devices of the demo, plugged in: scanner and lock board on ptys, reader and packager on TCP ports."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hardware_sims.catalogue import Role, of_role
from hardware_sims.devices.llrp_reader import LlrpReader
from hardware_sims.devices.lock_board import SimLockBoard
from hardware_sims.devices.packager import SimPackager
from hardware_sims.devices.scanner import SimScanner
from hardware_sims.faults import Line, split
from hardware_sims.radio import Place, RadioField
from hardware_sims.serve import PtyPort, TcpPort
from hardware_sims.settings import Wires

CABINET_PLACE = 1
STRAY_TAG = "E2801160600002040000002A"
_POUCH_S = 0.02
_CANISTER = 500


class Equipment:
    def __init__(self, seed: int) -> None:
        self.field = RadioField(seed=seed)
        self.scanner = SimScanner(sends_aim=True)
        self.lock_board = SimLockBoard()
        self.reader = LlrpReader(self.field, cabinet=CABINET_PLACE)
        self.packager = SimPackager(canisters={good.id: _CANISTER for good in of_role(Role.PACKAGER)}, pouch_s=_POUCH_S)

    def put_in_cabinet(self, epc: str) -> None:
        self.field.place(epc, Place(cabinet=CABINET_PLACE))

    def take_out_of_cabinet(self, epc: str) -> None:
        self.field.remove(epc)

    def leave_before_cabinet(self, epc: str) -> None:
        """A tag on a trolley in front of the door: heard, and not inside."""
        self.field.place(epc, Place(cabinet=CABINET_PLACE, is_inside=False))


@asynccontextmanager
async def plugged_in(equipment: Equipment, directory: Path, *, seed: int) -> AsyncIterator[Wires]:
    """The wires' addresses, ptys in ``directory``; the scanner's bytes arrive in pieces, as on a long line."""
    long_line = Line(split(chance=0.3, wait_s=0.002), seed=seed)
    async with (
        PtyPort(directory / "scanner-1", equipment.scanner.talk, line=long_line) as scanner,
        PtyPort(directory / "lock-1", equipment.lock_board.talk) as lock_board,
        TcpPort(equipment.packager.talk) as packager,
        equipment.reader as reader,
    ):
        yield Wires(scanner=scanner.url, lock_board=lock_board.url, reader_port=reader.port, packager=packager.url)
