"""Looks at every fact that enters the ledger, once, in its order: is it real, in its chain, and rightly judged?"""

import hashlib

import msgspec

from central.ledger.write import DEVICE, Committed
from sync_protocol.chain import SessionStart
from sync_protocol.codec import decode_fact
from sync_protocol.facts import Fact, FactId
from sync_protocol.items import Item, Kind, State
from tests.simulation.around import spoken
from tests.simulation.books import Books, Entry, Misfit
from tests.simulation.oracle import Oracle
from tests.simulation.truth import Known, Truth

UNREADABLE = "unreadable"


class Violation(Exception):  # noqa: N818 -- the finding, not a failure of the simulator
    """``rule``: the invariant of reliability.md §2, or the requirement, that does not hold."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


class _Chain(msgspec.Struct):
    seq: int
    head: bytes


class LedgerWatch:
    """``history``: by item, its states with the versions they came at. ``where``: by fact, the version it came at."""

    def __init__(self, books: Books, truth: Truth) -> None:
        self.history: dict[str, list[tuple[int, Item]]] = {}
        self.where: dict[FactId, int] = {}
        self.held: dict[FactId, Known] = {}
        self.misfits: list[Misfit] = []
        self.oracle = Oracle()
        self.excepted: set[str] = set()
        """Items with an exception on the work list."""
        self.unsure: set[str] = set()
        """Items of facts that their own device could not check against what it knew."""
        self._books = books
        self._truth = truth
        self._seen_version = 0
        self._position = 0
        self._chains: dict[bytes, _Chain] = {}
        self._by_code: dict[str, list[tuple[int, FactId]]] = {}
        self._refused: set[tuple[FactId, str]] = set()
        self._units: dict[str, int] = {}

    def saw(self, committed: Committed) -> None:
        """Of every commit, while central's process lives to tell."""
        if committed.version != self._seen_version + 1:
            self.catch_up(committed.version - 1)
        self._note({item.code: (item, committed.version) for item in committed.rows.items}, committed.version)

    def catch_up(self, version: int) -> None:
        """A commit whose process died before it told anyone."""
        if version > self._seen_version:
            self._note(self._books.changed(self._seen_version), version)

    def look(self) -> None:
        """Raises Violation."""
        self.catch_up(self._books.version())
        entries = self._books.entries(self._position)
        fresh = self._books.misfits(len(self.misfits))
        self.misfits += fresh
        about: dict[int, set[tuple[str, str]]] = {}
        for misfit in fresh:
            if misfit.position is not None:
                about.setdefault(misfit.position, set()).add((misfit.code, misfit.reason))
        for entry in entries:
            self._look_at(entry, about.pop(entry.position, set()))
        if about:
            raise Violation("I2", f"exceptions about positions {sorted(about)} that hold no new fact")

    def _look_at(self, entry: Entry, found: set[tuple[str, str]]) -> None:
        self._position += 1
        identity = entry.sealed.id
        if entry.position != self._position:
            raise Violation("I2", f"position {entry.position} after {self._position - 1}")
        self._check_chain(entry)
        known = self._known(entry)
        self.where[identity] = entry.version
        self.held[identity] = known
        if known.fact is None:
            if {reason for _, reason in found} != {UNREADABLE}:
                raise Violation("I9", f"{spoken(identity)} cannot be read and is filed as {found or 'nothing'}")
            return
        self._check_verdict(entry, known, known.fact, {code for code, _ in found})

    def _check_chain(self, entry: Entry) -> None:
        """I2, I7: each seq once and in order, each hash from the one before, by a hash made here."""
        identity, sealed = entry.sealed.id, entry.sealed
        chain = self._chains.get(identity.session)
        if chain is None:
            start = self._books.sessions()[identity.session].start
            self._check_parent(start)
            chain = self._chains[identity.session] = _Chain(0, start.hash)
        if identity.seq != chain.seq + 1:
            raise Violation("I2", f"{spoken(identity)} stands in the ledger after seq {chain.seq}")
        digest = hashlib.sha256(b"codepool fact 1" + chain.head + sealed.body).digest()
        if digest != sealed.hash:
            raise Violation("I7", f"{spoken(identity)} does not follow from the fact before it")
        chain.seq, chain.head = identity.seq, digest

    def _check_parent(self, start: SessionStart) -> None:
        """The facts of a device enter in the order they were recorded in, also across its starts."""
        parent = self._chains.get(start.parent_session)
        have = parent.seq if parent is not None else 0
        if have < start.parent_seq and start.device not in self._truth.resumed:
            raise Violation(
                "order", f"{start.device}: a session that follows fact {start.parent_seq} came before fact {have + 1}"
            )

    def _known(self, entry: Entry) -> Known:
        identity, body = entry.sealed.id, entry.sealed.body
        if identity.device == DEVICE:
            fact = decode_fact(body)
            return Known(body=body, fact=fact, unfit=frozenset(), touched=frozenset(), base={}, before={})
        known = self._truth.of(identity, body)
        if known is None:
            is_invented = identity not in self._truth.facts
            said = "no device recorded it" if is_invented else "with other bytes than were recorded"
            raise Violation("I7" if is_invented else "I2", f"{spoken(identity)} is in the ledger and {said}")
        return known

    def _check_verdict(self, entry: Entry, known: Known, fact: Fact, found: set[str]) -> None:
        """I3, I4, I9: what did not fit is an exception and nothing else is; and it has a cause."""
        identity = entry.sealed.id
        expected = self.oracle.fold(fact)
        if found != expected:
            raise Violation(
                "I3", f"{spoken(identity)} {fact.what}: exceptions {sorted(found)}, by the oracle {sorted(expected)}"
            )
        self.unsure |= known.unfit
        for code in fact.codes:
            if code in found:
                self.excepted.add(code)
                self._refused.add((identity, code))
                if not self._has_cause(entry, known, code):
                    raise Violation(
                        "order", f"{spoken(identity)} {fact.what} {code}: an exception, and nobody else touched it"
                    )
            self._by_code.setdefault(code, []).append((entry.version, identity))

    def _has_cause(self, entry: Entry, known: Known, code: str) -> bool:
        """Somebody else's fact came between belief and ledger, or the belief was wrong before, or was not asked."""
        if code in known.unfit or entry.sealed.id.device == DEVICE:
            return entry.sealed.id.device != DEVICE
        own = {entry.sealed.id}
        before = known.before.get(code)
        while before is not None:
            own.add(before)
            if (before, code) in self._refused or before not in self.where:
                return True
            earlier = self._truth.facts[before]
            if code in earlier.unfit:
                return True
            before = earlier.before.get(code)
        base = known.base[code]
        return any(version > base and identity not in own for version, identity in self._touches(code))

    def _touches(self, code: str) -> list[tuple[int, FactId]]:
        """Facts about an item; for a unit also those about its box, whose opening made it."""
        return self._by_code.get(code, []) + self._by_code.get(code.partition("#")[0], [])

    def _note(self, rows: dict[str, tuple[Item, int]], version: int) -> None:
        self._seen_version = version
        for code, (item, at) in rows.items():
            self.history.setdefault(code, []).append((at, item))
            if item.box and len(self.history[code]) == 1:
                self._units[item.box] = self._units.get(item.box, 0) + 1

    def check_conservation(self, units_of: dict[str, int]) -> None:
        """I4: an opened box has become exactly the units that it physically holds, and each is in one place."""
        for code, states in self.history.items():
            item = states[-1][1]
            if item.kind is not Kind.BOX:
                continue
            expected = units_of.get(code, 0) if item.units else 0
            if self._units.get(code, 0) != expected:
                raise Violation(
                    "I4", f"box {code}: {self._units.get(code, 0)} units in the ledger, {expected} in the box"
                )
            if item.state is State.OPENED and not item.units:
                raise Violation("I4", f"box {code} is opened into nothing")
