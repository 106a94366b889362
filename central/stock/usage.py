"""Use of consumables: the hospital's issue message turns taken into used (B13).

The message and the cabinet's own facts travel on different ways. A message that comes before the cabinet has told
that the piece was taken waits in the ledger and takes effect with that fact.
"""

import msgspec

from central.errors import ConflictError, InvalidError
from central.ledger import statements
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from sync_protocol.facts import MAX_CODES, Fact, How, What, is_date
from sync_protocol.items import Item, Kind, State

WAITING, RECORDED = "waiting", "recorded"
_AHEAD_OF_CABINET = frozenset({State.EXPECTED, State.IN_STOCK})


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Pieces used for a patient. ``order``: the hospital's number of the issue, empty if it has none."""

    id: str
    codes: tuple[str, ...]
    patient: str
    order: str = ""
    operator: str = ""
    wall_us: int


class Usages:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def record(self, usage: Usage) -> None:
        """Turn taken pieces into used ones; a message with the same id and content changes nothing.

        Raises InvalidError, and ConflictError if the id came before with other content.
        """
        _check(usage)
        self._ledger.commit(lambda transaction: _record(transaction, usage))


def settle_usages(transaction: Transaction) -> None:
    """Consequence: pieces whose use was told before their taking are used as soon as they are taken."""
    away = transaction.shifted(lambda _, now: now is State.TAKEN)
    taken = [code for code in away if transaction.changed[code].kind is Kind.PIECE]
    if not taken or not transaction.select(statements.ANY_WAITING_USAGE):
        return
    usages: dict[str, Usage] = {}
    for usage_id, code, order, operator, wall_us in transaction.select_in(statements.WAITING_USAGES, taken):
        known = usages.get(usage_id)
        codes = (*known.codes, code) if known else (code,)
        usages[usage_id] = Usage(id=usage_id, codes=codes, order=order, patient="", operator=operator, wall_us=wall_us)
    for usage in usages.values():
        position = transaction.record(_fact(transaction, usage, usage.codes)).position
        transaction.execute(statements.RECORD_USAGE, [(position, usage.id, code) for code in usage.codes])


def _check(usage: Usage) -> None:
    if not usage.id:
        raise InvalidError("id", "nothing", "the hospital's number of the message")
    if not 1 <= len(usage.codes) <= MAX_CODES:
        raise InvalidError("codes", f"{len(usage.codes)} codes", f"1 to {MAX_CODES} codes")
    if len(set(usage.codes)) != len(usage.codes):
        raise InvalidError("codes", "a code twice", "each code once")
    if not is_date(usage.wall_us):
        raise InvalidError("wall_us", str(usage.wall_us), "UTC microseconds since 1970")


def _record(transaction: Transaction, usage: Usage) -> None:
    known = transaction.select(statements.USAGE, (usage.id,))
    if known:
        _refuse_other_content(usage, known)
        return
    transaction.load(usage.codes)
    for code in usage.codes:
        item = transaction.stock.get(code)
        if item is None or item.kind is not Kind.PIECE:
            found = f"{code}, {'unknown' if item is None else f'a {item.kind}'}"
            raise InvalidError("codes", found, "pieces that the ledger knows", "check the code on the label")
    ahead = [code for code in usage.codes if _is_ahead(transaction.stock[code])]
    there = tuple(code for code in usage.codes if code not in set(ahead))
    position = transaction.record(_fact(transaction, usage, there)).position if there else None
    shared = (usage.order, usage.patient, usage.operator, usage.wall_us)
    transaction.execute(
        statements.ADD_USAGE,
        [(usage.id, code, *shared, WAITING, None, transaction.now_us) for code in ahead]
        + [(usage.id, code, *shared, RECORDED, position, transaction.now_us) for code in there],
    )


def _is_ahead(item: Item) -> bool:
    """Whether the cabinet has yet to tell that the piece was taken; a recall may have frozen it meanwhile."""
    return (item.before if item.state is State.FROZEN else item.state) in _AHEAD_OF_CABINET


def _refuse_other_content(usage: Usage, known: list[tuple[object, ...]]) -> None:
    codes = tuple(sorted(usage.codes))
    found = (codes, usage.order, usage.patient, usage.operator, usage.wall_us)
    expected = (tuple(row[0] for row in known), *known[0][1:])
    names = ("codes", "order", "patient", "operator", "wall_us")
    for name, one, other in zip(names, found, expected, strict=True):
        if one != other:
            raise ConflictError(name, str(one), f"{other}, as message {usage.id} said before", "send a new number")


def _fact(transaction: Transaction, usage: Usage, codes: tuple[str, ...]) -> Fact:
    return Fact(
        what=What.DISPENSED,
        codes=codes,
        at=msgspec.structs.replace(transaction.moment(), wall_us=usage.wall_us),
        operator=usage.operator,
        document=usage.id,
        order=usage.order,
        how=How.MESSAGE,
    )
