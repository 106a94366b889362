"""Looks at every fact that enters the ledger, once, in its order: is it real, in its chain, and rightly judged?"""

import hashlib

from central.ledger.write import DEVICE, Committed
from sync_protocol.chain import SessionStart
from sync_protocol.codec import decode_fact
from sync_protocol.facts import Fact, FactId, What
from sync_protocol.items import Item, Kind, State
from sync_protocol.lifecycle import Reason
from tests.simulation.around import spoken
from tests.simulation.books import Books, Entry
from tests.simulation.life import Chain, Life, Lives
from tests.simulation.truth import Known, Truth

UNREADABLE = "unreadable"
_LED_AWAY = {
    What.TAKEN: {What.TAKEN, What.DISPENSED, What.TRANSFERRED_OUT},
    What.PUT_BACK: {What.PUT_BACK, What.DISPENSED, What.TRANSFERRED_OUT},
    What.DISPENSED: {What.DISPENSED},
    What.RETURNED: {What.RETURNED, What.TAKEN, What.TRANSFERRED_OUT},
}
"""Steps that are not missed when what follows on them is heard, and what leads an item away from where they find it.

Or has brought it back already.
"""


class Violation(Exception):  # noqa: N818 -- the finding, not a failure of the simulator
    """``rule``: the invariant of reliability.md §2, or the requirement, that does not hold."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


class LedgerWatch:
    """Of one central. ``life``: what its ledger is now."""

    def __init__(self, books: Books, truth: Truth, lives: Lives, life: Life | None = None) -> None:
        self.life = life or Life()
        self.books = books
        self.incarnation = 0
        """Of the ledger, when it was last looked at."""
        self.is_older = False
        """A newer one is alive: what only that one acked is not sent to this one again, so facts may be missing."""
        self._truth = truth
        self._lives = lives

    def put_back(self, image: Life) -> Life:
        """The ledger is an older one from now on; the life that it left."""
        left, self.life = self.life, image.image()
        self.life.before = (*image.before, left)
        devices = {state.start.device for state in self.books.sessions().values()}
        self.life.waits_for = frozenset(devices - {DEVICE})
        return left

    def saw(self, committed: Committed) -> None:
        """Of every commit, while central's process lives to tell."""
        if committed.version != self.life.seen_version + 1:
            self.catch_up(committed.version - 1)
        self._note({item.code: (item, committed.version) for item in committed.rows.items}, committed.version)

    def catch_up(self, version: int) -> None:
        """A commit whose process died before it told anyone."""
        if version > self.life.seen_version:
            self._note(self.books.changed(self.life.seen_version), version)

    def look(self) -> None:
        """Raises Violation."""
        self.incarnation = self.books.incarnation()
        self._lives.note(self.incarnation, self.life)
        self.catch_up(self.books.version())
        entries = self.books.entries(self.life.position)
        fresh = self.books.misfits(len(self.life.misfits))
        self.life.misfits += fresh
        about: dict[int, set[tuple[str, str]]] = {}
        for misfit in fresh:
            if misfit.position is not None:
                about.setdefault(misfit.position, set()).add((misfit.code, misfit.reason))
        for entry in entries:
            self._look_at(entry, about.pop(entry.position, set()))
        if about:
            raise Violation("I2", f"exceptions about positions {sorted(about)} that hold no new fact")

    def _look_at(self, entry: Entry, found: set[tuple[str, str]]) -> None:
        self.life.position += 1
        identity = entry.sealed.id
        if entry.position != self.life.position:
            raise Violation("I2", f"position {entry.position} after {self.life.position - 1}")
        self._check_chain(entry)
        known = self._known(entry)
        if known in self.life.stands:
            raise Violation("I2", f"{spoken(identity)} stands in the ledger as {spoken(self.life.stands[known])} too")
        self.life.stands[known] = identity
        self.life.where[identity] = entry.version
        self.life.held[identity] = known
        if known.fact is None:
            if {reason for _, reason in found} != {UNREADABLE}:
                raise Violation("I9", f"{spoken(identity)} cannot be read and is filed as {found or 'nothing'}")
            return
        doubted = {code for code, reason in found if reason == Reason.OVERTAKEN}
        self._check_verdict(entry, known, known.fact, {code for code, _ in found} - doubted, doubted)

    def _check_chain(self, entry: Entry) -> None:
        """I2, I7: each seq once and in order, each hash from the one before, by a hash made here."""
        identity, sealed = entry.sealed.id, entry.sealed
        chain = self.life.chains.get(identity.session)
        if chain is None:
            start = self.books.sessions()[identity.session].start
            self._check_parent(start)
            chain = self.life.chains[identity.session] = Chain(0, start.hash)
        if identity.seq != chain.seq + 1:
            raise Violation("I2", f"{spoken(identity)} stands in the ledger after seq {chain.seq}")
        digest = hashlib.sha256(b"codepool fact 1" + chain.head + sealed.body).digest()
        if digest != sealed.hash:
            raise Violation("I7", f"{spoken(identity)} does not follow from the fact before it")
        chain.seq, chain.head = identity.seq, digest

    def _check_parent(self, start: SessionStart) -> None:
        """The facts of a device enter in the order they were recorded in, also across its starts."""
        parent = self.life.chains.get(start.parent_session)
        have = parent.seq if parent is not None else 0
        if have < start.parent_seq and start.device not in self._truth.resumed and not self.is_older:
            raise Violation(
                "order", f"{start.device}: a session that follows fact {start.parent_seq} came before fact {have + 1}"
            )

    def _known(self, entry: Entry) -> Known:
        identity, body = entry.sealed.id, entry.sealed.body
        if identity.device == DEVICE:
            fact = decode_fact(body)
            return Known(
                id=identity, body=body, fact=fact, unfit=frozenset(), touched=frozenset(), base={}, before={}, belief=0
            )
        known = self._truth.of(identity, body)
        if known is None:
            is_invented = identity not in self._truth.lives
            said = "no device recorded it" if is_invented else "with other bytes than were recorded"
            raise Violation("I7" if is_invented else "I2", f"{spoken(identity)} is in the ledger and {said}")
        return known

    def _check_verdict(self, entry: Entry, known: Known, fact: Fact, found: set[str], doubted: set[str]) -> None:
        """I3, I4, I9: what did not fit or was overtaken is an exception, and nothing else is; and it has a cause."""
        identity = entry.sealed.id
        expected = self.life.oracle.fold(fact)
        if found != expected:
            raise Violation(
                "I3", f"{spoken(identity)} {fact.what}: exceptions {sorted(found)}, by the oracle {sorted(expected)}"
            )
        self._check_doubts(identity, fact, set(fact.codes) - found, doubted)
        self.life.unsure |= known.unfit
        if identity.device == DEVICE and fact.what is What.LOCKED:
            self._check_allocation(fact)
        for code in fact.codes:
            if code in found:
                self.life.excepted.add(code)
                self.life.refused.add((identity, code))
                if not self.is_older and not self._has_cause(entry, known, code):
                    raise Violation(
                        "order", f"{spoken(identity)} {fact.what} {code}: an exception, and nobody else touched it"
                    )
            self.life.by_code.setdefault(code, []).append((entry.version, identity))

    def _check_doubts(self, identity: FactId, fact: Fact, fits: set[str], found: set[str]) -> None:
        """I4: a step that nobody misses is doubted, if others led the item away after its device had looked."""
        expected = {code for code in fits if self._is_overtaken(identity, fact, code)}
        if found != expected:
            raise Violation(
                "I4", f"{spoken(identity)} {fact.what}: doubted {sorted(found)}, overtaken {sorted(expected)}"
            )
        self.life.excepted |= found

    def _is_overtaken(self, identity: FactId, fact: Fact, code: str) -> bool:
        for version, other in self.life.by_code.get(code, ()):
            is_news = version > fact.checked_at and other.device != identity.device != DEVICE
            if is_news and (other, code) not in self.life.refused:
                led = self.life.held[other].fact
                if led is not None and led.what in _LED_AWAY.get(fact.what, ()):
                    return True
        return False

    def _has_cause(self, entry: Entry, known: Known, code: str) -> bool:
        """Somebody else's fact came between belief and ledger, or the belief was wrong before, or was not asked."""
        if code in known.unfit or entry.sealed.id.device == DEVICE:
            return entry.sealed.id.device != DEVICE
        if known.belief != self.incarnation:
            return True  # what it believed was of another life of the ledger
        own = {entry.sealed.id}
        before = known.before.get(code)
        while before is not None:
            own.add(before.id)
            if (before.id, code) in self.life.refused or self.life.held.get(before.id) is not before:
                return True
            if code in before.unfit:
                return True
            before = before.before.get(code)
        base = known.base[code]
        return any(version > base and identity not in own for version, identity in self._touches(code))

    def _check_allocation(self, fact: Fact) -> None:
        """I3, fault 33: what devices did to an item, and an earlier life knew, comes back before it is allocated."""
        life, truth = self.life, self._truth
        for earlier in life.before:
            for code in fact.codes:
                for _, identity in earlier.by_code.get(code, ()):
                    is_waited_for = identity.device in life.waits_for - truth.copied - truth.wiped
                    if is_waited_for and identity not in life.where:
                        raise Violation(
                            "I3", f"{code} is locked to an order while {spoken(identity)} is on its way back"
                        )

    def _touches(self, code: str) -> list[tuple[int, FactId]]:
        """Facts about an item; for a unit also those about its box, whose opening made it."""
        return self.life.by_code.get(code, []) + self.life.by_code.get(code.partition("#")[0], [])

    def _note(self, rows: dict[str, tuple[Item, int]], version: int) -> None:
        self.life.seen_version = version
        for code, (item, at) in rows.items():
            self.life.history.setdefault(code, []).append((at, item))
            if item.box and len(self.life.history[code]) == 1:
                self.life.units[item.box] = self.life.units.get(item.box, 0) + 1

    def check_conservation(self, units_of: dict[str, int]) -> None:
        """I4: an opened box has become exactly the units that it physically holds, and each is in one place."""
        for code, states in self.life.history.items():
            item = states[-1][1]
            if item.kind is not Kind.BOX:
                continue
            expected = units_of.get(code, 0) if item.units else 0
            if self.life.units.get(code, 0) != expected:
                raise Violation(
                    "I4", f"box {code}: {self.life.units.get(code, 0)} units in the ledger, {expected} in the box"
                )
            if item.state is State.OPENED and not item.units:
                raise Violation("I4", f"box {code} is opened into nothing")
