"""How far the agent is with sending each of its sessions."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from sync_protocol.machines.uplink_events import Line, SendHello, Settle, WrittenAgain
from sync_protocol.messages import Ack, Position

MOST_SETTLED = 64
"""Sessions wholly acked that HELLO still asks about, because not all of their facts are in a backup."""


class Sending(msgspec.Struct, kw_only=True):
    """One session's facts: written through ``head``, sent through ``sent``, committed at central through ``acked``.

    ``held``: at central through this, where those past ``acked`` wait for older ones.
    ``is_stuck``: central lacks facts that are pruned here, so that nothing of it can follow.
    """

    head: int
    acked: int
    sent: int
    kept: int
    held: int = 0
    is_stuck: bool = False

    @property
    def is_open(self) -> bool:
        """More of it is to come into the ledger."""
        return self.acked < self.head and not self.is_stuck

    @property
    def claimed(self) -> int:
        """What central must have if it is whole. Pruned facts are no claim: they were another incarnation's."""
        return self.acked if self.acked > self.kept else 0


class Flight(msgspec.Struct, frozen=True):
    """A batch that was sent and not answered: the facts past ``after`` through ``through``."""

    session: bytes
    after: int
    through: int


class Settled:
    """Sessions wholly acked, with what is known to be safe of them."""

    def __init__(self, positions: Iterable[Position] = ()) -> None:
        self._positions = {position.session: position for position in positions}

    def __iter__(self) -> Iterator[Position]:
        return iter(self._positions.values())

    def add(self, position: Position) -> None:
        self._positions[position.session] = position
        # The oldest are pruned first, and the newest shows a ledger that went back: what lies between may wait.
        while len(self._positions) > MOST_SETTLED:
            del self._positions[list(self._positions)[-2]]

    def told(self, position: Position, version: int) -> list[Settle]:
        """More of a session is safe, if it is one of these."""
        known = self._positions.get(position.session)
        if known is None or position.safe <= known.safe:
            return []
        safe = min(position.safe, known.through)
        self._positions[position.session] = msgspec.structs.replace(known, safe=safe)
        return [Settle(session=position.session, through=known.through, version=version, safe=safe)]


def sendings(current: bytes, lines: Iterable[Line]) -> dict[bytes, Sending]:
    """How far the agent is when it starts: what was not acked is sent anew."""
    states = {
        line.session: Sending(head=line.head, acked=line.acked, sent=line.acked, kept=line.kept) for line in lines
    }
    states.setdefault(current, Sending(head=0, acked=0, sent=0, kept=0))
    return states


def is_behind(lines: Mapping[bytes, Sending], session: bytes) -> bool:
    """Facts of an earlier session are still to come into the ledger."""
    for earlier, line in lines.items():
        if earlier == session:
            return False
        if line.is_open:
            return True
    return False


def follow(lines: Mapping[bytes, Sending], written: WrittenAgain) -> dict[bytes, Sending]:
    """The session that has parted ends there, and the new one is sent right after it."""
    found = {}
    for name, line in lines.items():
        found[name] = line
        if name == written.session:
            line.head, line.held = written.through, min(line.held, written.through)
            found[written.to] = Sending(head=written.head, acked=0, sent=0, kept=0)
    return found


def common(told: Position | Ack) -> int:
    """What may count as committed, if the agent's own fact ``at`` has the hash that central told."""
    return told.through if told.at < 0 else told.at


def next_unsent(lines: Mapping[bytes, Sending]) -> tuple[bytes, Sending] | None:
    """A session's facts wait until all of the one before are acked: the ledger takes them in their order."""
    for session, line in lines.items():
        if line.is_stuck:
            continue
        if line.head > line.sent:
            return session, line
        if line.acked < line.head:
            return None
    return None


def go_back(lines: Mapping[bytes, Sending]) -> None:
    """Send anew what was not acked; what waits at central need not be sent again."""
    for session, line in lines.items():
        line.sent = line.held if is_behind(lines, session) else line.acked


def hello_of(settled: Settled, lines: Mapping[bytes, Sending]) -> SendHello:
    pending = (Position(session=session, through=line.claimed) for session, line in lines.items())
    heads = (Position(session=session, through=line.head) for session, line in lines.items())
    return SendHello(pending=(*settled, *pending), heads=tuple(heads))
