"""What the simulator saw of one life of a ledger: its facts, its items over time, its exceptions.

A ledger that is put back goes on from what its copy held; the life that it left stays as it was, for whoever still
believes it.
"""

import copy
from collections.abc import Iterator, Mapping

import msgspec

from sync_protocol.facts import FactId
from sync_protocol.items import Item
from tests.simulation.books import Misfit
from tests.simulation.oracle import Oracle
from tests.simulation.truth import Known

Told = dict[str, dict[bytes, int]]
"""By device and session, the last fact that the device spoke of."""


class Chain(msgspec.Struct):
    """One session in the ledger."""

    seq: int
    head: bytes


class Life:
    """``history``: by item, its states with the versions they came at. ``where``: by fact, the version it came at."""

    def __init__(self) -> None:
        self.history: dict[str, list[tuple[int, Item]]] = {}
        self.where: dict[FactId, int] = {}
        self.held: dict[FactId, Known] = {}
        self.stands: dict[Known, FactId] = {}
        self.by_code: dict[str, list[tuple[int, FactId]]] = {}
        self.misfits: list[Misfit] = []
        self.refused: set[tuple[FactId, str]] = set()
        self.oracle = Oracle()
        self.excepted: set[str] = set()
        """Items with an exception on the work list."""
        self.unsure: set[str] = set()
        """Items of facts that their own device could not check against what it knew."""
        self.seen_version = 0
        self.position = 0
        self.chains: dict[bytes, Chain] = {}
        self.units: dict[str, int] = {}
        self.told: Told = {}
        """What central's disk knows that devices spoke of."""
        self.before: tuple[Life, ...] = ()
        """Lives that ended when this one was put back in their place."""
        self.waits_for: frozenset[str] = frozenset()
        """Devices that it knew when it was put back: they give back what it lacks before anything follows from it."""

    def image(self) -> "Life":
        """As it is now, to be gone on from."""
        other = Life()
        other.history = {code: list(states) for code, states in self.history.items()}
        other.where, other.held, other.stands = dict(self.where), dict(self.held), dict(self.stands)
        other.by_code = {code: list(touches) for code, touches in self.by_code.items()}
        other.misfits, other.refused = list(self.misfits), set(self.refused)
        other.oracle.cells = {code: copy.copy(cell) for code, cell in self.oracle.cells.items()}
        other.excepted, other.unsure = set(self.excepted), set(self.unsure)
        other.seen_version, other.position = self.seen_version, self.position
        other.chains = {session: copy.copy(chain) for session, chain in self.chains.items()}
        other.units, other.told = dict(self.units), {device: dict(heads) for device, heads in self.told.items()}
        other.before, other.waits_for = self.before, self.waits_for
        return other

    def through(self, session: bytes) -> int:
        chain = self.chains.get(session)
        return chain.seq if chain is not None else 0


class Lives:
    """Of all ledgers, by incarnation. More than one has the same only while nobody knows that a ledger was put back."""

    def __init__(self) -> None:
        self._lives: dict[int, list[Life]] = {}

    def note(self, incarnation: int, life: Life) -> None:
        lives = self._lives.setdefault(incarnation, [])
        if life not in lives:
            lives.append(life)

    def of(self, incarnation: int) -> list[Life]:
        return self._lives.get(incarnation, [])

    def all(self) -> Mapping[int, list[Life]]:
        return self._lives

    def __iter__(self) -> Iterator[Life]:
        """Each once."""
        return iter({id(life): life for lives in self._lives.values() for life in lives}.values())
