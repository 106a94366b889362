"""The ledger's tables as dictionaries, and the writes of one commit before they are made."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from central.ledger import statements
from central.ledger.staging import UNREADABLE
from sync_protocol.facts import Fact, SealedFact
from sync_protocol.items import Item
from sync_protocol.lifecycle import Refusal
from sync_protocol.machines.ingest import SessionState
from tests.simulation.books import Entry, Misfit
from tests.simulation.disk import Disk

Row = tuple[Any, ...]


class Answer(list[Row]):
    """The rows of a statement, as a cursor gives them."""

    def fetchone(self) -> Row | None:
        return self[0] if self else None

    def fetchall(self) -> list[Row]:
        return self


class Tables:
    """The committed state, with the indexes that questions need."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.sessions: dict[bytes, SessionState] = disk.tables["session"]
        self.items: dict[str, tuple[Item, int]] = disk.tables["item"]
        self.changes: dict[int, tuple[str, ...]] = disk.tables["change"]
        self.facts: dict[int, Entry] = disk.tables["fact"]
        self.misfits: dict[int, tuple[Misfit, Row]] = disk.tables["exception"]
        self.units: dict[str, set[str]] = defaultdict(set)
        self.verdicts: dict[bytes, list[Row]] = defaultdict(list)
        for item, _ in self.items.values():
            self.index_item(item)
        for misfit, verdict in self.misfits.values():
            self.index_misfit(misfit, verdict)

    @property
    def version(self) -> int:
        return len(self.changes)

    def index_item(self, item: Item) -> None:
        if item.box:
            self.units[item.box].add(item.code)

    def index_misfit(self, misfit: Misfit, verdict: Row) -> None:
        if misfit.position is not None:
            self.verdicts[misfit.session].append(verdict)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Answer:
        """The statements that ingest asks a connection, by name; a new one needs its answer here."""
        if statement == statements.READ_THROUGH:
            state = self.sessions.get(values[0])
            return Answer([(state.through,)] if state else [])
        if statement == statements.VERDICTS:
            session, first, last = values
            found = [row for row in self.verdicts.get(session, ()) if first <= row[0] <= last]
            return Answer(sorted(found, key=lambda row: int(row[0])))
        assert statement == statements.AGENTS, f"no answer here to: {statement}"
        return Answer()


class DictStaging:
    """Stands in for ``central.ledger.staging.Staging``: gathers the writes of one commit."""

    def __init__(self, version: int) -> None:
        self.facts: list[Entry] = []
        self.misfits: list[tuple[Misfit, Row]] = []
        self.items: dict[str, Item] = {}
        self.sessions: dict[bytes, SessionState] = {}
        self._version = version

    def add_fact(self, position: int, sealed: SealedFact, fact: Fact, before: str) -> None:  # noqa: ARG002 -- the shape it stands in for
        self.facts.append(Entry(position=position, sealed=sealed, version=self._version))

    def touch(self, codes: Iterable[str]) -> None:
        """These tables know no life of a code."""

    def add_unreadable(self, position: int, sealed: SealedFact, cause: str) -> None:
        self.facts.append(Entry(position=position, sealed=sealed, version=self._version))
        self._misfit(position, sealed, ("", UNREADABLE, UNREADABLE, "", cause, "a fact that this software reads"))

    def add_refusal(self, position: int, sealed: SealedFact, refusal: Refusal) -> None:
        about = (refusal.code, refusal.what, refusal.reason, refusal.state or "", refusal.found, refusal.expected)
        self._misfit(position, sealed, about)

    def add_misfit(self, device: str, session: bytes, *, reason: str, found: str, expected: str) -> None:
        misfit = Misfit(position=None, device=device, session=session, seq=0, code="", reason=reason)
        self.misfits.append((misfit, (0, "", "", reason, "", found, expected)))

    def put_item(self, item: Item, before: Item | None) -> None:  # noqa: ARG002 -- the shape it stands in for
        self.items[item.code] = item

    def put_session(self, state: SessionState) -> None:
        self.sessions[state.start.session] = state

    def write(self) -> None:
        """Written when the commit is."""

    def _misfit(self, position: int, sealed: SealedFact, about: Row) -> None:
        identity = sealed.id
        misfit = Misfit(
            position=position,
            device=identity.device,
            session=identity.session,
            seq=identity.seq,
            code=about[0],
            reason=about[2],
        )
        self.misfits.append((misfit, (identity.seq, *about)))
