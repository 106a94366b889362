"""Check, then commit: what ``edge_agent.recorder`` does with a group of one, without its event loop."""

from collections.abc import Mapping, Sequence

import msgspec

from edge_agent.store.journal import Touched
from sync_protocol.facts import Fact, FactId
from sync_protocol.items import Item
from sync_protocol.lifecycle import fold
from sync_protocol.recalls import NO_RECALLS, Recalled
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


def check(stores: Stores, facts: Sequence[Fact], recalls: Recalled = NO_RECALLS) -> Checked:
    """``recalls``: those that forbid it; none where the thing has moved already."""
    checked = Checked(facts=[], unfit=[], touched={})
    version = stores.replica.version
    for index, fact in enumerate(facts):
        known: dict[str, Item] = {}
        for code in fact.codes:
            mine = checked.touched.get(code)
            item = mine.item if mine else stores.item(code)
            if item is not None:
                known[code] = item
        outcome = fold(fact, known, recalls)
        checked.facts.append(msgspec.structs.replace(fact, checked_at=version))
        checked.unfit.append(frozenset(refusal.code for refusal in outcome.refusals))
        checked.touched.update((item.code, Touched(item=item, index=index)) for item in outcome.items)
    return checked


def attempt(
    truth: Truth,
    stores: Stores,
    own: Mapping[FactId, Known],
    checked: Checked,
    bodies: Sequence[bytes],
    *,
    is_readable: bool,
) -> list[FactId]:
    """Note what is about to be written, with where the belief behind it came from. ``own``: what the disk holds."""
    journal = stores.journal
    sessions = {line.number: line.start.session for line in journal.lines.values()}
    identities = []
    latest: dict[str, Known] = {}
    for n, (fact, unfit, body) in enumerate(zip(checked.facts, checked.unfit, bodies, strict=True), start=1):
        identity = FactId(device=journal.start.device, session=journal.start.session, seq=journal.head + n)
        touched = frozenset(code for code, touch in checked.touched.items() if touch.index == n - 1)
        known = Known(
            id=identity,
            body=body,
            fact=fact if is_readable else None,
            unfit=unfit,
            touched=touched,
            base={},
            before={},
            belief=stores.replica.incarnation,
        )
        for code in fact.codes:
            before = latest.get(code) or _before(stores, sessions, own, code)
            if before is not None:
                known.before[code] = before
            known.base[code] = before.base.get(code, 0) if before else stores.replica.version
            latest[code] = known
        truth.attempt(known)
        identities.append(identity)
    return identities


def _before(stores: Stores, sessions: Mapping[int, bytes], own: Mapping[FactId, Known], code: str) -> Known | None:
    position = stores.touched_at(code)
    if position is None:
        return None
    session, seq = sessions[position >> 32], position & 0xFFFFFFFF
    return own[FactId(device=stores.journal.start.device, session=session, seq=seq)]
