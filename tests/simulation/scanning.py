"""Check, then commit: what ``edge_agent.recorder`` does with a group of one, without its event loop."""

from collections.abc import Sequence

import msgspec

from edge_agent.store.journal import Touched
from sync_protocol.facts import Fact, FactId
from sync_protocol.items import Item
from sync_protocol.lifecycle import fold
from tests.simulation.media import Stores
from tests.simulation.truth import Known, Truth


class Checked(msgspec.Struct, kw_only=True):
    """Facts as they will be written, and what they do to items by the device's belief."""

    facts: list[Fact]
    unfit: list[frozenset[str]]
    touched: dict[str, Touched]

    @property
    def fits(self) -> bool:
        return not any(self.unfit)


def check(stores: Stores, facts: Sequence[Fact]) -> Checked:
    checked = Checked(facts=[], unfit=[], touched={})
    version = stores.replica.version
    for index, fact in enumerate(facts):
        known: dict[str, Item] = {}
        for code in fact.codes:
            mine = checked.touched.get(code)
            item = mine.item if mine else stores.item(code)
            if item is not None:
                known[code] = item
        outcome = fold(fact, known)
        checked.facts.append(msgspec.structs.replace(fact, checked_at=version))
        checked.unfit.append(frozenset(refusal.code for refusal in outcome.refusals))
        checked.touched.update((item.code, Touched(item=item, index=index)) for item in outcome.items)
    return checked


def attempt(
    truth: Truth, stores: Stores, checked: Checked, bodies: Sequence[bytes], *, is_readable: bool
) -> list[FactId]:
    """Note what is about to be written, with where the belief behind it came from."""
    journal = stores.journal
    sessions = {line.number: line.start.session for line in journal.lines.values()}
    identities = []
    latest: dict[str, FactId] = {}
    for n, (fact, unfit, body) in enumerate(zip(checked.facts, checked.unfit, bodies, strict=True), start=1):
        identity = FactId(device=journal.start.device, session=journal.start.session, seq=journal.head + n)
        touched = frozenset(code for code, touch in checked.touched.items() if touch.index == n - 1)
        known = Known(
            body=body,
            fact=fact if is_readable else None,
            unfit=unfit,
            touched=touched,
            base={},
            before={},
            belief=stores.replica.incarnation,
        )
        for code in fact.codes:
            before = latest.get(code) or _before(stores, sessions, code)
            if before is not None:
                known.before[code] = before
            earlier = truth.facts.get(before) or truth.attempts.get(before) if before else None
            known.base[code] = earlier.base.get(code, 0) if earlier else stores.replica.version
            latest[code] = identity
        truth.attempt(identity, known)
        identities.append(identity)
    return identities


def _before(stores: Stores, sessions: dict[int, bytes], code: str) -> FactId | None:
    position = stores.touched_at(code)
    if position is None:
        return None
    session, seq = sessions[position >> 32], position & 0xFFFFFFFF
    return FactId(device=stores.journal.start.device, session=session, seq=seq)
