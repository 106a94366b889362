"""Who may speak: a letter is believed when the key of its device signed it for its topic, and then it is read (REQ-09).

What is not believed, cannot be read or names another device is counted and said, and stops nobody else.
"""

import functools
from collections.abc import Callable

import msgspec
import structlog

from central.errors import BusyError
from central.ledger.session_rows import read_session
from central.ledger.write import Ledger
from central.stock.device_keys import DeviceKeys
from central.sync.agents import Agents
from central.sync.flaws import flaw
from central.sync.inbox import Letter
from sync_protocol import envelope, topics
from sync_protocol.codec import decode_up
from sync_protocol.errors import ProtocolError
from sync_protocol.machines.credit import WINDOW
from sync_protocol.machines.freshness import Freshness
from sync_protocol.messages import Hello, Up

MOST_REFUSED = 200
REMEMBERED_US = 600_000_000
SAY_AGAIN_AFTER_US = 3_000_000
"""Whoever sends forged letters in a device's name must not flood that device with refusals."""
_ASK_VENDOR = "keep the agent's data folder as it is and call the administrator of central"
_ACCEPT_IT = "two people compare the fingerprint with `codepool-edge identity` and accept it at the console's sync page"
_LOOK = "look for a second computer of this name, or for whoever has access to the broker"
_HELLO_AT_MOST = 16_384
_KEPT = 4 * WINDOW
"""Messages that are not read again when they come again: what was on its way when the link went down is sent anew."""
_log = structlog.get_logger("central.gate")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A message whose sender is known. ``is_news`` False: an old one that was said again.

    ``number``: the highest that was heard of its stream.
    """

    device: str
    message: Up
    is_news: bool
    number: int


class Gate:
    """``refusals``: how many letters were not taken."""

    def __init__(
        self, ledger: Ledger, keys: DeviceKeys, agents: Agents, refuse: Callable[[str, str, str], None]
    ) -> None:
        """``refuse``: tell a device the cause and what to do."""
        self.refusals = 0
        self._refused: dict[str, tuple[str, int]] = {}
        self._ledger = ledger
        self._keys = keys
        self._agents = agents
        self._refuse = refuse
        self._freshness = Freshness()
        self._said_us: dict[str, int] = {}

    @property
    def refused_lately(self) -> dict[str, str]:
        """By device, why its last letter was not taken; of the devices that were not heard well since."""
        since_us = self._ledger.time.now_us() - REMEMBERED_US
        return {device: cause for device, (cause, at_us) in self._refused.items() if at_us >= since_us}

    def open(self, letter: Letter) -> Heard | None:
        """The message, or None if it is not taken."""
        device = letter.device
        try:
            opened = envelope.read(letter.data)
            message, cause, advice = self._believe(device, opened)
        except ProtocolError as error:
            self._turn_away(device, f"central cannot read the message: {error}", "update the older side")
            return None
        if message is None or cause:
            self._turn_away(device, cause, advice)
            return None
        wrong = flaw(device, message)
        if wrong:
            self._count(device, wrong)
            self._refuse(device, wrong, _ASK_VENDOR)
            return None
        self._refused.pop(device, None)
        begins = isinstance(message, Hello) and self._begins(device, message)
        is_news = self._freshness.is_news(device, opened.stream, opened.number, begins=begins)
        number = self._freshness.heard(device, opened.stream)
        return Heard(device=device, message=message, is_news=is_news, number=number)

    def _believe(self, device: str, opened: envelope.Envelope) -> tuple[Up | None, str, str]:
        """The message, or why it is not believed, and what to do. Raises WireError."""
        key, topic = self._keys.of(device), topics.up(device)
        if key is not None and opened.is_from(key, topic):
            return _read(opened.message), "", ""
        forged = "a message was not signed by the key of this device"
        if len(opened.message) > _HELLO_AT_MOST:
            return None, forged, _LOOK
        message = decode_up(opened.message)
        if not isinstance(message, Hello) or not opened.is_from(message.key, topic):
            return None, forged, _LOOK
        try:
            return message, self._keys.meet(device, message.key), _ACCEPT_IT
        except BusyError as error:
            return None, error.cause, "it says so again by itself"

    def _begins(self, device: str, hello: Hello) -> bool:
        """Whether a HELLO is that of a process that started since, and not one from the past.

        Who has not met this life of the ledger has its session filed at the next HELLO, which it says at once.
        """
        session = hello.start.session
        is_met = hello.incarnation == self._ledger.incarnation
        is_filed = read_session(self._ledger.connection, session) is not None
        is_new = is_met and not is_filed and not self._agents.is_past(device, session)
        return is_new or session == self._agents.session(device)

    def _count(self, device: str, cause: str) -> None:
        self.refusals += 1
        known = self._refused.get(device)
        if known is None or known[0] != cause:
            _log.warning("letter refused", device=device, cause=cause)
        if known is not None or len(self._refused) < MOST_REFUSED:
            self._refused[device] = (cause, self._ledger.time.now_us())

    def _turn_away(self, device: str, cause: str, advice: str) -> None:
        """What may be another one's letter is answered now and then only."""
        self._count(device, cause)
        now_us = self._ledger.time.now_us()
        if len(self._said_us) >= MOST_REFUSED:
            self._said_us = {}
        if abs(now_us - self._said_us.get(device, 0)) >= SAY_AGAIN_AFTER_US:
            self._said_us[device] = now_us
            self._refuse(device, cause, advice)


@functools.lru_cache(maxsize=_KEPT)
def _read(message: bytes) -> Up:
    """What a believed sender said, bytes for bytes the same each time. Raises WireError."""
    return decode_up(message)
