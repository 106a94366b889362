"""Which words are central's: those that its key signed for this agent (REQ-09). A broker can drop, not forge.

Which key that is stands in the configuration (``[central] keys``). Where it does not, the key of the first welcome is
taken and written into the journal: whoever installs the agent sees its fingerprint, an agent that was just installed
has nothing yet that a false central could make it lose, and from then on nobody else is believed.
"""

from collections.abc import Collection

import msgspec
import structlog

from edge_agent.store.journal import Journal
from edge_agent.sync.state import SyncState
from sync_protocol import envelope
from sync_protocol.codec import decode_down
from sync_protocol.envelope import fingerprint
from sync_protocol.machines.freshness import Freshness
from sync_protocol.messages import Down, Welcome
from sync_protocol.recalls import SignedRecalls

_CENTRAL = "central"
_HELLOS = 16
_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.ear")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What central said. ``is_news`` False: perhaps an old message that was said again.

    ``is_other``: another process than the one that answered HELLO says it: central has restarted, or that is long gone.
    """

    message: Down
    is_news: bool
    is_other: bool


class Ear:
    """``refused``: how many messages were not believed."""

    def __init__(self, journal: Journal, keys: Collection[bytes], state: SyncState) -> None:
        self.refused = 0
        self._journal = journal
        self._configured = tuple(keys)
        self._state = state
        self._freshness = Freshness()
        self._hellos: list[int] = []
        self._answered: set[tuple[int, bytes]] = set()

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Whose words are believed; empty before the first welcome."""
        return self._configured or self._journal.central_keys

    def unasked(self, sent_us: int) -> int:
        """The time, or the next one that no HELLO of this connection had: a clock may stand still, or be set back."""
        while sent_us in self._hellos:
            sent_us += 1
        return sent_us

    def asked(self, sent_us: int) -> None:
        """A HELLO with this time was sent: a welcome that repeats it is an answer, and no old one."""
        self._hellos = [*self._hellos[1 - _HELLOS :], sent_us]

    def forget_asked(self) -> None:
        """What was asked before is answered too late: the answer would be of another connection, or another ledger."""
        self._hellos = []
        self._answered.clear()

    def hear(self, data: bytes, topic: str) -> Said | None:
        """The message, or None if it is not believed, or answers what nobody asked.

        Raises WireError for bytes that cannot be read, and StoreError.
        """
        opened = envelope.read(data)
        if any(opened.is_from(key, topic) for key in self.keys):
            message = decode_down(opened.message)
        else:
            learned = self._stranger(opened, topic)
            if learned is None:
                return None
            message = learned
        if isinstance(message, Welcome) and not self._is_answer(message, opened.stream):
            return None
        is_ours = getattr(message, "incarnation", 0) >= self._journal.incarnation
        begins = is_ours and isinstance(message, Welcome)
        is_news = self._freshness.is_news(_CENTRAL, opened.stream, opened.number, begins=begins)
        is_other = is_ours and self._freshness.is_other(_CENTRAL, opened.stream)
        return Said(message=message, is_news=is_news, is_other=is_other)

    def _is_answer(self, welcome: Welcome, stream: bytes) -> bool:
        """Whether it answers a HELLO of this connection, for the first time. Of two centrals alive both may answer."""
        answer = (welcome.echo_us, stream)
        if welcome.echo_us not in self._hellos or answer in self._answered:
            return False
        self._answered.add(answer)
        return True

    def _stranger(self, opened: envelope.Envelope, topic: str) -> Down | None:
        """What may be taken all the same: recalls, which carry a signature of their own, and the first welcome."""
        message = decode_down(opened.message)
        if isinstance(message, SignedRecalls):
            return message
        if isinstance(message, Welcome) and opened.is_from(message.key, topic):
            if not self.keys and message.echo_us in self._hellos:
                self._journal.pin_central(message.key)
                _log.warning("central_key_pinned", key=fingerprint(message.key))
                return message
            known = " or ".join(map(fingerprint, self.keys))
            self._refuse(
                f"central shows key {fingerprint(message.key)}, known is {known}; if central was set up anew, set"
                " [central] keys to what `codepool-central key` shows"
            )
            return None
        if self.keys:
            self._refuse("a message was not signed by the key of central; somebody else writes to the broker")
        return None

    def _refuse(self, cause: str) -> None:
        self.refused += 1
        if self._state.forged != cause:
            _log.error("central_not_believed", cause=cause)
        self._state.forged = cause
