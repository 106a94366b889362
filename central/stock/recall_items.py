"""What a recall does to items of the ledger: those at hand are frozen, and what happened all the same is believed.

An item that is still on its way, from a supplier or between two places, is frozen when it arrives: a frozen one could
not be received, and its delivery note would never be complete. Who has it cannot use it either way.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from central.ledger.transaction import Transaction
from central.ledger.write import DEVICE
from sync_protocol.facts import MAX_CODES, MAX_TEXT, Fact, How, What
from sync_protocol.items import LIVE, Item, State
from sync_protocol.lifecycle import Reason, Refusal, check
from sync_protocol.recalls import Recall

FROZEN_AT_ONCE = 20_000
"""Items that one commit freezes or releases: it must fit one delta. The rest follows in the next commits."""
FREEZABLE = LIVE - {State.FROZEN, State.EXPECTED, State.IN_TRANSIT}
# Facts that a workplace may have recorded before it heard of the recall. They happened, whatever the ledger had frozen.
HAPPENS = frozenset(What) - {What.ANNOUNCED, What.RECEIVED, What.FROZEN, What.RELEASED, What.COUNTED, What.LOCKED}
# Then a recalled drug is with a patient, or out of reach.
_OUT_OF_HAND = (What.DISPENSED, What.LENT, What.TRANSFERRED_OUT)
_STATES = ", ".join(f"'{state}'" for state in sorted(FREEZABLE))
_OF_LOT = (
    f"SELECT code FROM item WHERE product = ? AND (? = '' OR lot = ?) AND state IN ({_STATES}) "  # noqa: S608 - constants
    "ORDER BY state != 'in_stock', code LIMIT ?"
)
_OF_CODES = f"SELECT code FROM item WHERE code IN ({{codes}}) AND state IN ({_STATES})"  # noqa: S608 - constants
_OF_BOXES = f"SELECT code FROM item WHERE box IN ({{codes}}) AND box != '' AND state IN ({_STATES})"  # noqa: S608
_FROZEN_OF_LOT = "SELECT code FROM item WHERE product = ? AND (? = '' OR lot = ?) AND state = 'frozen' ORDER BY code"
_FROZEN_CODES = "SELECT code FROM item WHERE code IN ({codes}) AND state = 'frozen'"
_FROZEN_OF_BOXES = "SELECT code FROM item WHERE box IN ({codes}) AND box != '' AND state = 'frozen'"
# Along the life of each item (``ledger/lives.py``) to the last fact that froze it.
_FREEZERS = """
    WITH RECURSIVE life (code, position, what, document, before) AS (
        SELECT item.code, fact.position, fact.what, fact.document, fact.before
        FROM item JOIN fact ON fact.position = item.last_position WHERE item.code IN ({codes})
        UNION ALL
        SELECT life.code, fact.position, fact.what, fact.document, fact.before FROM life
        JOIN json_each(life.before) AS link ON life.what != 'frozen' AND (link.key IS NULL OR link.key = life.code)
        JOIN fact ON fact.position = link.value
    )
    SELECT code, position, document FROM life WHERE what = 'frozen'
"""
_KNOWN_RECALLS = "SELECT id FROM recall WHERE id IN ({codes})"


def freeze(transaction: Transaction, recall: Recall) -> bool:
    """Freeze items at hand that the recall covers, at most ``FROZEN_AT_ONCE``; whether that was all of them."""
    if recall.codes:
        found = [row[0] for row in transaction.select_in(_OF_CODES, recall.codes)]
        found += [row[0] for row in transaction.select_in(_OF_BOXES, recall.codes)]
        codes = sorted(set(found))[: FROZEN_AT_ONCE + 1]
    else:
        wanted = (recall.product, recall.lot, recall.lot, FROZEN_AT_ONCE + 1)
        codes = [row[0] for row in transaction.select(_OF_LOT, wanted)]
    _record(transaction, What.FROZEN, recall.id, recall.reason, codes[:FROZEN_AT_ONCE])
    return len(codes) <= FROZEN_AT_ONCE


def release(transaction: Transaction, recall: Recall, codes: tuple[str, ...]) -> bool:
    """Release items that recalls had frozen and none covers now; as ``freeze``. ``codes``: of a recall of codes.

    What a person has frozen for another reason stays frozen.
    """
    if codes:
        found = [row[0] for row in transaction.select_in(_FROZEN_CODES, codes)]
        found += [row[0] for row in transaction.select_in(_FROZEN_OF_BOXES, codes)]
    else:
        found = [row[0] for row in transaction.select(_FROZEN_OF_LOT, (recall.product, recall.lot, recall.lot))]
    transaction.load(found)
    free = [code for code in found if transaction.recalls.of(transaction.stock[code]) is None]
    ours = sorted(held_by_recall(transaction, free))
    _record(transaction, What.RELEASED, recall.id, "the recall was lifted", ours[:FROZEN_AT_ONCE])
    return len(ours) <= FROZEN_AT_ONCE


def held_by_recall(transaction: Transaction, codes: Iterable[str]) -> set[str]:
    """Those of the frozen codes that a recall froze, and no person."""
    document = {code: document for code, _, document in transaction.select_in(_FREEZERS, codes)}
    recalls = {row[0] for row in transaction.select_in(_KNOWN_RECALLS, set(document.values()) - {""})}
    return {code for code, cause in document.items() if cause in recalls}


def believe(transaction: Transaction, fact: Fact) -> None:
    """Preparation: items that a recall has frozen go on from where they were, if the fact fits them there.

    A workplace that was cut off opened, issued or moved them without knowing. Its facts are kept as they are, so that
    the patients are found, and what is left is frozen again in the same commit.
    """
    if not transaction.recalls.recalls:
        return
    frozen: dict[str, str] = {}
    for code in fact.codes:
        item = transaction.stock.get(code)
        recall = transaction.recalls.of(item) if item is not None and item.state is State.FROZEN else None
        if item is not None and recall is not None and _fits_unfrozen(item, fact):
            frozen[code] = recall.id
    ours = held_by_recall(transaction, frozen) if frozen else set()
    for recall_id, codes in _grouped((code, frozen[code]) for code in sorted(ours)):
        why = f"{fact.what} at a workplace that did not know of the recall yet"
        _record(transaction, What.RELEASED, recall_id, why, codes)


def settle_recalls(transaction: Transaction) -> None:
    """Consequence: what became covered is frozen, and what left our hands after its recall goes on the work list."""
    recalls = transaction.recalls
    if not recalls:
        return
    _doubt(transaction)
    covered = []
    for item in transaction.changed.values():
        recall = recalls.of(item) if item.state in FREEZABLE else None
        if recall is not None:
            covered.append((item.code, recall.id))
    reasons = {recall.id: recall.reason for recall in recalls.recalls} if covered else {}
    for recall_id, codes in _grouped(sorted(covered)):
        _record(transaction, What.FROZEN, recall_id, reasons[recall_id], codes)


def _doubt(transaction: Transaction) -> None:
    for folded in transaction.of(*_OUT_OF_HAND):
        fact = folded.fact
        if folded.device == DEVICE and fact.how is not How.MESSAGE:
            continue
        refused = {refusal.code for refusal in folded.outcome.refusals}
        at_us = fact.at.corrected_us
        for code in fact.codes:
            item = transaction.stock.get(code)
            recall = transaction.recalls.of(item) if item is not None and code not in refused else None
            if item is not None and recall is not None and at_us >= recall.issued_us:
                found, expected = f"{recall.id}: {recall.reason}"[:MAX_TEXT], "an item not recalled"
                refusal = Refusal(
                    code=code, what=fact.what, reason=Reason.RECALLED, state=item.state, found=found, expected=expected
                )
                transaction.doubt(folded, refusal)


def _fits_unfrozen(item: Item, fact: Fact) -> bool:
    was = msgspec.structs.replace(item, state=item.before or State.IN_STOCK, before=None)
    return check(was, fact, item.code) is None


def _grouped(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for code, key in pairs:
        groups[key].append(code)
    yield from groups.items()


def _record(transaction: Transaction, what: What, recall_id: str, reason: str, codes: list[str]) -> None:
    for start in range(0, len(codes), MAX_CODES):
        fact = Fact(
            what=what,
            codes=tuple(codes[start : start + MAX_CODES]),
            at=transaction.moment(),
            document=recall_id,
            how=How.AUTOMATIC,
            reason=(reason or recall_id)[:MAX_TEXT],
        )
        transaction.record(fact)
