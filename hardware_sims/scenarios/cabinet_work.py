"""What nurses do at the cabinet: receive a note, take, put back. Pieces move while the door is open."""

from collections.abc import Callable, Sequence

from hardware_sims.equipment import Equipment
from hardware_sims.scenarios.cabinet_page import CabinetPage, DoorResult
from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.settings import LOCK
from hardware_sims.truth import Piece, Truth


class CabinetWork:
    def __init__(self, page: CabinetPage, equipment: Equipment, truth: Truth) -> None:
        self._page = page
        self._equipment = equipment
        self._truth = truth
        self._person = ""

    async def sign_in(self, person: str, pin: str) -> None:
        self._person = person
        await self._page.sign_in(person, pin)

    async def receive(self, note: str, pieces: Sequence[Piece]) -> None:
        """The whole note goes in, the door shuts, and the screen says that the note is received."""
        result = await self._session("receive", lambda: self._put_in(pieces), note=note)
        if not result.is_received:
            raise UnexpectedAnswerError(f"note {note} was not received: {result}")
        for piece in pieces:
            self._truth.deliver(piece.code)

    async def move(self, *, take: Sequence[Piece] = (), put_back: Sequence[Piece] = ()) -> None:
        """One opening of the door: some pieces leave, some come back."""

        def hands() -> None:
            for piece in take:
                self._equipment.take_out_of_cabinet(piece.code)
                self._truth.take_piece(piece.code, self._person)
            self._put_in(put_back)
            for piece in put_back:
                self._truth.put_back_piece(piece.code)

        result = await self._session("take", hands)
        found = (set(result.missing), set(result.put_back))
        moved = ({piece.code for piece in take}, {piece.code for piece in put_back})
        if found != moved:
            raise UnexpectedAnswerError(f"moved {moved}, the cabinet says {found}")

    def _put_in(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self._equipment.put_in_cabinet(piece.code)

    async def _session(self, task: str, hands: Callable[[], None], *, note: str = "") -> DoorResult:
        board = self._equipment.lock_board
        await self._page.start(task, note=note)
        await board.wait_until(LOCK, is_open=True)
        await self._page.opened()
        hands()
        await board.close(LOCK)
        result = await self._page.result()
        await self._page.leave()
        return result
