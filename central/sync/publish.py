"""What central says to agents: the broadcast of every commit, and the answer to a pull (REQ-05)."""

from central.ledger import statements
from central.ledger.changed import spoken_after
from central.ledger.deltas import read_rows
from central.ledger.write import Committed, Ledger
from central.sync.link import Outbox
from central.sync.snapshots import Snapshots
from sync_protocol import topics
from sync_protocol.envelope import MAX_ENVELOPE, Voice
from sync_protocol.messages import Delta, Down, Pull, Refused, Rows

MAX_ROWS = 5_000
"""Rows of one delta; more only where one commit changed more."""


class Publisher:
    """``key``: the public key by which agents know central."""

    def __init__(
        self, ledger: Ledger, outbox: Outbox, voice: Voice, *, key: bytes, snapshots: Snapshots | None = None
    ) -> None:
        self.key = key
        self._ledger = ledger
        self._snapshots = snapshots
        self._outbox = outbox
        self._voice = voice

    def tell(self, device: str, message: Down) -> None:
        self.send(topics.down(device), message)

    def send(self, topic: str, message: Down) -> None:
        """Signed for the topic; it may be lost."""
        if self._outbox.is_up:
            self._outbox.send(topic, self._voice.say(message, topic))

    def refuse(self, device: str, cause: str, advice: str) -> None:
        self.tell(device, Refused(cause=cause, advice=advice))

    def announce(self, message: Down) -> None:
        """Say it to all agents, behind the deltas of everything that is committed."""
        self.send(topics.BROADCAST, message)

    def broadcast(self, committed: Committed) -> None:
        """Send a commit's rows to everybody. What is too large for one message is only announced: agents pull it."""
        if not self._outbox.is_up or self._ledger.is_refilling:
            return
        to = committed.version
        if committed.rows.count <= MAX_ROWS:
            data = self._voice.say(self._delta(to - 1, to, committed.rows, latest=to), topics.BROADCAST)
            if len(data) <= MAX_ENVELOPE:
                self._outbox.send(topics.BROADCAST, data)
                return
        self.ring()

    def ring(self) -> None:
        """Tell everybody which ledger this is and how far it is: a replica that is behind pulls."""
        version = self._ledger.version
        self.send(topics.BROADCAST, self._delta(version, version, Rows(), latest=version))

    def introduce(self, device: str) -> None:
        """Tell an agent that speaks to another life of the ledger which one this is: no broadcast may come for long."""
        version = self._ledger.version
        self.tell(device, self._delta(version, version, Rows(), latest=version))

    def answer(self, device: str, pull: Pull) -> None:
        """Answer a pull of this incarnation's rows; silence while the ledger is being refilled: it is pulled again."""
        if pull.incarnation not in {0, self._ledger.incarnation}:
            self.introduce(device)
            return
        if self._ledger.is_refilling:
            return
        offer = self._snapshots.offer(pull) if self._snapshots is not None else None
        self.tell(device, offer or self.delta(max(0, min(pull.after, self._ledger.version))))

    def delta(self, after: int) -> Delta:
        """The rows that follow ``after``, cut between two commits."""
        connection, latest = self._ledger.connection, self._ledger.version
        spoken = spoken_after(connection, after, MAX_ROWS)
        versions = [version for version, codes in spoken for _ in codes]
        versions += [row[0] for row in connection.execute(statements.VERSIONS_AFTER, (after, MAX_ROWS + 1))]
        versions.sort()
        to = latest
        if len(versions) > MAX_ROWS:
            # The last commit seen may go on behind the limit: stop before it, unless it is the only one.
            last = versions[MAX_ROWS]
            to = last - 1 if versions[0] < last else last
        codes = {code for version, codes in spoken if version <= to for code in codes}
        return self._delta(after, to, read_rows(connection, codes, after, to), latest=latest)

    def _delta(self, after: int, to: int, rows: Rows, *, latest: int) -> Delta:
        return Delta(after=after, to=to, rows=rows, latest=latest, incarnation=self._ledger.incarnation)
