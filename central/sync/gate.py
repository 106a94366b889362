"""Who may speak: a letter is believed when the key of its device signed it for its topic, and then it is read (REQ-09).

What is not believed, cannot be read or names another device is counted and said, and stops nobody else.
"""

from collections.abc import Callable

import msgspec
import structlog

from central.errors import BusyError
from central.ledger.reading import fits_integer
from central.ledger.transaction import read_session
from central.ledger.write import Ledger
from central.stock.device_keys import DeviceKeys
from central.sync.agents import Agents
from central.sync.inbox import Letter
from sync_protocol import envelope, topics
from sync_protocol.chain import SessionStart
from sync_protocol.codec import decode_up
from sync_protocol.errors import ProtocolError
from sync_protocol.leases import MOST_HELD
from sync_protocol.machines.credit import BATCH_FACTS
from sync_protocol.machines.freshness import Freshness
from sync_protocol.messages import Ask, AskRecalls, Batch, Confirm, Hello, Holds, Pull, Up
from sync_protocol.recalls import SignedRecalls

MOST_REFUSED = 200
SAY_AGAIN_AFTER_US = 3_000_000
"""Whoever sends forged letters in a device's name must not flood that device with refusals."""
_ASK_VENDOR = "keep the agent's data folder as it is and call the administrator of central"
_ACCEPT_IT = "two people compare the fingerprint with `codepool-edge identity` and accept it at the console's sync page"
_LOOK = "look for a second computer of this name, or for whoever has access to the broker"
_HELLO_AT_MOST = 16_384
_log = structlog.get_logger("central.gate")


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A message whose sender is known. ``is_news`` False: an old one that was said again."""

    device: str
    message: Up
    is_news: bool


class Gate:
    """``refused``: by device, why its last letter that was not taken was not; ``refusals``: how many there were."""

    def __init__(
        self, ledger: Ledger, keys: DeviceKeys, agents: Agents, refuse: Callable[[str, str, str], None]
    ) -> None:
        """``refuse``: tell a device the cause and what to do."""
        self.refused: dict[str, str] = {}
        self.refusals = 0
        self._ledger = ledger
        self._keys = keys
        self._agents = agents
        self._refuse = refuse
        self._freshness = Freshness()
        self._said_us: dict[str, int] = {}

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
        flaw = _flaw(device, message)
        if flaw:
            self._count(device, flaw)
            self._refuse(device, flaw, _ASK_VENDOR)
            return None
        self.refused.pop(device, None)
        begins = isinstance(message, Hello) and self._begins(device, message.start.session)
        is_news = self._freshness.is_news(device, opened.stream, opened.number, begins=begins)
        return Heard(device=device, message=message, is_news=is_news)

    def _believe(self, device: str, opened: envelope.Envelope) -> tuple[Up | None, str, str]:
        """The message, or why it is not believed, and what to do. Raises WireError."""
        key, topic = self._keys.of(device), topics.up(device)
        if key is not None and opened.is_from(key, topic):
            return decode_up(opened.message), "", ""
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

    def _begins(self, device: str, session: bytes) -> bool:
        """Whether a HELLO of this session is that of a process that started since, and not one from the past."""
        is_new = read_session(self._ledger.connection, session) is None
        return is_new or session == self._agents.session(device)

    def _count(self, device: str, cause: str) -> None:
        self.refusals += 1
        if self.refused.get(device) != cause:
            _log.warning("letter refused", device=device, cause=cause)
        if device in self.refused or len(self.refused) < MOST_REFUSED:
            self.refused[device] = cause

    def _turn_away(self, device: str, cause: str, advice: str) -> None:
        """What may be another one's letter is answered now and then only."""
        self._count(device, cause)
        now_us = self._ledger.time.now_us()
        if len(self._said_us) >= MOST_REFUSED:
            self._said_us = {}
        if abs(now_us - self._said_us.get(device, 0)) >= SAY_AGAIN_AFTER_US:
            self._said_us[device] = now_us
            self._refuse(device, cause, advice)


def _flaw(device: str, message: Up) -> str:  # noqa: PLR0911 -- one line a message
    """What no honest agent sends: another device's name, numbers that no ledger has."""
    match message:
        case Pull():
            return "" if fits_integer(message.after, message.incarnation) else f"pull after {message.after}"
        case AskRecalls():
            return ""
        case Confirm():
            return "" if fits_integer(message.recall_version) else f"recall set {message.recall_version}"
        case SignedRecalls():
            return "" if fits_integer(message.version) else f"recall set {message.version}"
        case Holds():
            told = [position.through for position in message.heads]
            told += [message.number, message.seen, message.incarnation, message.spoken_to, message.want]
            return _flaw_of_lease(message.codes, message.sent_us, *told)
        case Ask():
            return _flaw_of_lease(message.codes, message.seen, message.sent_us)
        case Hello():
            heads = [position.through for position in (*message.heads, *message.pending)]
            numbers = (message.replica_version, message.schema, message.sent_us, message.incarnation)
            return _flaw_of(device, message.start, *numbers, message.recall_version, *heads)
        case Batch():
            if message.first_seq < 1 or not 1 <= len(message.bodies) <= BATCH_FACTS:
                return f"batch from fact {message.first_seq} with {len(message.bodies)} facts, at most {BATCH_FACTS}"
            return _flaw_of(device, message.start, message.first_seq)


def _flaw_of_lease(codes: tuple[str, ...], *numbers: int) -> str:
    if len(codes) > 2 * MOST_HELD:
        return f"{len(codes)} codes of a lease, at most {2 * MOST_HELD}"
    return "" if fits_integer(*numbers) else "a number beyond 63 bits"


def _flaw_of(device: str, start: SessionStart, *numbers: int) -> str:
    if start.device != device:
        return f"topic of device {device}, message of device {start.device}"
    return "" if fits_integer(start.parent_seq, start.started_us, *numbers) else "a number beyond 63 bits"
