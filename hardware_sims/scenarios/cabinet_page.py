"""The cabinet's touchscreen, as the nurse has it before her."""

from typing import Any

import msgspec

from hardware_sims.scenarios.errors import UnexpectedAnswerError
from hardware_sims.scenarios.page import Page
from hardware_sims.scenarios.patience import until

_OPENING_S = 10.0
_READING_S = 30.0


class Stray(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    kind: str


class DoorResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the screen says after the door was shut. ``missing`` is what left."""

    phase: str
    cause: str = ""
    grade: str | None = None
    is_received: bool = False
    missing: tuple[str, ...] = ()
    put_back: tuple[str, ...] = ()
    not_arrived: tuple[str, ...] = ()
    strays: tuple[Stray, ...] = ()
    refusals: tuple[str, ...] = ()


class CabinetPage(Page):
    async def start(self, task: str, *, note: str = "") -> None:
        """Open the door for a task. Raises UnexpectedAnswerError if the cabinet does not."""
        answer = await self.press("/cabinet/start", task=task, **({"note": note} if note else {}))
        if answer.get("task") != task:
            raise UnexpectedAnswerError(f"{task} {note}: the cabinet says {answer}")

    async def opened(self) -> None:
        """Return once the screen says that the door is open."""

        async def look() -> str:
            shown = await self.look("/cabinet")
            return "" if shown["phase"] == "open" else f"{shown['phase']} {shown['cause']}"

        await until("the cabinet's door is open", look, within_s=_OPENING_S)

    async def result(self) -> DoorResult:
        """The result, once the reading is over."""
        shown: dict[str, Any] = {}

        async def look() -> str:
            shown.update(await self.look("/cabinet"))
            return "" if shown["phase"] in {"result", "failed"} else f"{shown['phase']} {shown['cause']}"

        await until("the cabinet shows a result", look, within_s=_READING_S)
        return msgspec.convert(shown, DoorResult)

    async def leave(self) -> None:
        await self.press("/cabinet/leave")
