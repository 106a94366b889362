"""What central says to agents: the broadcast of every commit, and the answer to a pull (REQ-05).

Agents that were cut off together ask for the same rows: these are read and packed once, and signed for each.
"""

from collections import OrderedDict

import msgspec

from central.ledger import statements
from central.ledger.changed import spoken_after
from central.ledger.deltas import read_rows
from central.ledger.write import Committed, Ledger
from central.sync.link import Outbox
from central.sync.snapshots import Snapshots
from sync_protocol import topics
from sync_protocol.codec import encode
from sync_protocol.envelope import MAX_ENVELOPE, Voice
from sync_protocol.messages import Delta, Down, Pull, Refused, Rows

MAX_ROWS = 2_000
"""Rows of one delta; more only where one commit changed more."""
SHARED_US = 1_000_000
"""For how long a page is new enough for others: they ask again from its end, as after one that was slow to come."""
MOST_PAGES = 8


class _Page(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A packed delta."""

    made_us: int
    content: bytes


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
        self._pages: OrderedDict[tuple[int, int], _Page] = OrderedDict()

    def tell(self, device: str, message: Down) -> None:
        self.send(topics.down(device), message)

    def send(self, topic: str, message: Down) -> None:
        """Signed for the topic; it may be lost."""
        if self._outbox.is_up:
            self._post(topic, encode(message))

    def _post(self, topic: str, content: bytes) -> None:
        if self._outbox.is_up:
            self._outbox.send(topic, self._voice.seal(content, topic))

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
        after = max(0, min(pull.after, self._ledger.version))
        page = self._shared(after) if not pull.part else None
        if page is None:
            offer = self._snapshots.offer(pull) if self._snapshots is not None else None
            if offer is not None:
                self.tell(device, offer)
                return
            page = self._paged(self.delta(after))
        self._post(topics.down(device), page)

    def _shared(self, after: int) -> bytes | None:
        """The rows that follow ``after``, if somebody has just been told."""
        page = self._pages.get((self._ledger.incarnation, after))
        is_new = page is not None and abs(self._ledger.time.now_us() - page.made_us) < SHARED_US
        return page.content if page is not None and is_new else None

    def _paged(self, delta: Delta) -> bytes:
        """The delta, packed; kept for others if it brings anybody forward."""
        content = encode(delta)
        if delta.to > delta.after:
            key = (delta.incarnation, delta.after)
            self._pages[key] = _Page(made_us=self._ledger.time.now_us(), content=content)
            self._pages.move_to_end(key)
            while len(self._pages) > MOST_PAGES:
                self._pages.popitem(last=False)
        return content

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
