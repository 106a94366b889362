"""What central asks agents to give back: for another agent whose people wait for it, or for an order."""

from collections.abc import Iterable, Mapping

from sync_protocol.machines.grants_events import SendRelease, SendWithheld
from sync_protocol.messages import Holder

WAITS_US = 4_000_000
"""How long an agent waits for what another one is asked to give back."""
AGAIN_US = 1_000_000


class AskingBack:
    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, int]] = {}
        self._asked: dict[str, int] = {}

    def wait(self, device: str, codes: Iterable[str], now_us: int) -> None:
        """``device`` gets these when they are free."""
        self._waiting.update(dict.fromkeys(codes, (device, now_us)))

    def wanted(self, holders: Mapping[str, str]) -> dict[str, str]:
        """Codes that are free and waited for, each by whom."""
        return {code: device for code, (device, _) in self._waiting.items() if code not in holders}

    def got(self, codes: Iterable[str]) -> None:
        for code in codes:
            self._waiting.pop(code, None)

    def ask(self, holders: Mapping[str, str], now_us: int) -> list[SendRelease]:
        """Ask each of ``holders`` for its codes, not more often than it can answer."""
        by_holder: dict[str, list[str]] = {}
        for code, device in sorted(holders.items()):
            if now_us - self._asked.get(code, -AGAIN_US) >= AGAIN_US:
                self._asked[code] = now_us
                by_holder.setdefault(device, []).append(code)
        return [SendRelease(device=device, codes=tuple(codes)) for device, codes in by_holder.items()]

    def answered(self, code: str) -> None:
        """It is given back: whoever gets it next may be asked at once."""
        self._asked.pop(code, None)

    def tick(self, holders: Mapping[str, str], now_us: int) -> list[SendWithheld]:
        """Who has waited for long enough is told who has it."""
        self._asked = {code: us for code, us in self._asked.items() if now_us - us < AGAIN_US}
        late = [(code, device) for code, (device, us) in self._waiting.items() if now_us - us > WAITS_US]
        self.got(code for code, _ in late)
        return [
            SendWithheld(device=device, by=(Holder(code=code, device=holders.get(code, "")),)) for code, device in late
        ]
