"""Recalls (召回): issued and lifted by two people, signed as one set, in force here and at every agent (REQ-07).

The set carries a number that only grows: the second in which it was made, so that a ledger restored from a backup does
not give a number a second time to another set. What such a ledger has lost comes back from any agent (``adopt``).
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
import structlog

from central.errors import BusyError, ConflictError, InvalidError, NotFoundError
from central.ledger import statements
from central.ledger.rows import items_of
from central.ledger.transaction import Transaction
from central.ledger.write import Committed, Ledger
from central.stock import recall_rows
from central.stock.masterdata import find_products
from central.stock.people import require_two
from central.stock.recall_items import FROZEN_AT_ONCE, freeze, release
from central.stock.recall_key import RecallKey
from central.stock.recall_rows import Row
from sync_protocol.codec import MAX_UP, encode
from sync_protocol.codes import CodeRefused, Entry, parse_scan
from sync_protocol.errors import WireError
from sync_protocol.facts import MAX_CODES
from sync_protocol.recalls import (
    MAX_RECALLS,
    InForce,
    Recall,
    RecallSet,
    SignedRecalls,
    encode_recalls,
    merged,
    open_recalls,
)

AGAIN_AFTER_S = 5.0
_T = TypeVar("_T")
_log = structlog.get_logger("central.recalls")


class NewRecall(msgspec.Struct, frozen=True, kw_only=True):
    """What two people want recalled: a lot, all lots (empty ``lot``), or single codes of a product."""

    id: str
    product: str
    lot: str = ""
    codes: tuple[str, ...] = ()
    reason: str
    operator: str
    witness: str


class Recalls:
    """``trouble``: why agents will not believe the next set, empty while they will."""

    def __init__(self, ledger: Ledger, key: RecallKey) -> None:
        self.trouble = ""
        self.signed: SignedRecalls | None = None
        self._ledger = ledger
        self._key = key
        self._staged: SignedRecalls | None = None
        self._listeners: list[Callable[[SignedRecalls], None]] = []
        self._load()

    @property
    def version(self) -> int:
        """Of the set in force; 0 while nothing was ever recalled."""
        return self.signed.version if self.signed else 0

    def listen(self, listener: Callable[[SignedRecalls], None]) -> None:
        """Call ``listener`` with every new set, once it is committed."""
        self._listeners.append(listener)

    def committed(self, _committed: Committed) -> None:
        """Listener of the ledger: to be told first, so that a recall leaves before the rows that follow from it."""
        if self._staged is not None:
            self.signed, self._staged = self._staged, None
            self._ledger.recalls = InForce(RecallSet(version=self.version, recalls=tuple(self._said())))
            for listener in self._listeners:
                listener(self.signed)

    async def issue(self, wanted: NewRecall) -> Recall:
        """Recall a lot or codes: in force here when this returns, and on its way to every agent.

        The same recall again changes nothing. Raises InvalidError, and ConflictError if the id has other content.
        """
        row = self._commit(lambda transaction: self._issue(transaction, wanted))
        await self.finish()
        return row.to_recall()

    async def lift(self, recall_id: str, *, operator: str, witness: str, reason: str) -> Recall:
        """End a recall; what it froze is released. Idempotent. Raises InvalidError, NotFoundError."""
        row = self._commit(lambda transaction: self._lift(transaction, recall_id, operator, witness, reason))
        await self.finish()
        return row.to_recall()

    async def adopt(self, signed: SignedRecalls, device: str) -> bool:
        """Take back what an agent holds and this ledger has lost. Raises WireError for a set that our key did not sign.

        Whether anything changed. Of two words about one recall the one of the higher version counts. A set that says
        less than this one under its version or a higher one is overtaken: whoever holds it takes none below it.
        """
        given = open_recalls(signed, [self._key.public])
        own = RecallSet(version=self.version, recalls=tuple(self._said()))
        together = merged(own, given)
        if together == merged(own) and (given.version < own.version or _is_same(given, own)):
            return False
        _log.warning("recalls given back", device=device, version=signed.version, before=self.version)
        self._commit(lambda transaction: self._adopt(transaction, own, given, signed, device))
        await self.finish()
        return True

    async def finish(self) -> None:
        """Freeze or release what did not fit the commit of its recall, as far as the ledger lets it now."""
        while rows := self._rows(recall_rows.UNSETTLED):
            row = rows[0]
            try:
                self._commit(lambda transaction: self._bring_in_line(transaction, row))  # noqa: B023 - called at once
            except BusyError:
                return  # the recall is in force all the same, and ``run`` comes back to it
            await asyncio.sleep(0)

    async def run(self) -> None:
        """Finish what was left, until cancelled."""
        while True:
            await self.finish()
            await asyncio.sleep(AGAIN_AFTER_S)

    def _load(self) -> None:
        found = self._ledger.connection.execute(recall_rows.READ_SET).fetchone()
        if found is None:
            return
        self.signed = SignedRecalls(version=found[0], body=found[1], signature=found[2])
        self._ledger.recalls = InForce(RecallSet(version=self.version, recalls=tuple(self._said())))
        try:
            open_recalls(self.signed, [self._key.public])
        except WireError as error:
            self.trouble = f"another recall key than this one signed the recalls in force: {error}"

    def _commit(self, work: Callable[[Transaction], _T]) -> _T:
        try:
            return self._ledger.commit(work)
        finally:
            self._staged = None  # taken over by ``committed``, unless the commit failed

    def _rows(self, statement: str) -> list[Row]:
        return [Row.of(row) for row in self._ledger.connection.execute(statement)]

    def _said(self) -> Iterable[Recall]:
        return (row.to_recall() for row in self._rows(recall_rows.ALL))

    def _issue(self, transaction: Transaction, wanted: NewRecall) -> Row:
        wanted = _checked(transaction, wanted)
        for known in recall_rows.find(transaction, wanted.id):
            _refuse_other_content(known, wanted)
            return known
        version = self._next_version()
        row = Row(
            id=wanted.id,
            version=version,
            product=wanted.product,
            lot=wanted.lot,
            codes=wanted.codes,
            reason=wanted.reason,
            issued_us=transaction.now_us,
            issued_by=wanted.operator,
            witness=wanted.witness,
        )
        self._change(transaction, version, row)
        return row

    def _lift(self, transaction: Transaction, recall_id: str, operator: str, witness: str, reason: str) -> Row:
        require_two(transaction, operator, witness)
        if not reason:
            raise InvalidError("reason", "nothing", "why the recall ends")
        for known in recall_rows.find(transaction, recall_id):
            if not known.is_active:
                return known
            version = self._next_version()
            row = msgspec.structs.replace(
                known,
                version=version,
                is_active=False,
                lifted_us=transaction.now_us,
                lifted_by=operator,
                lift_witness=witness,
                lift_reason=reason,
                is_settled=False,
            )
            self._change(transaction, version, row)
            return row
        raise NotFoundError("id", recall_id, "a recall that was issued")

    def _adopt(
        self, transaction: Transaction, own: RecallSet, given: RecallSet, signed: SignedRecalls, device: str
    ) -> None:
        known = {row.id: row for row in self._rows(recall_rows.ALL)}
        ours = {recall.id: recall for recall in own.recalls}
        rows = [
            recall_rows.given_back(recall, known.get(recall.id), device)
            for recall in merged(own, given)
            if ours.get(recall.id) != recall
        ]
        is_newer = given.version > own.version and merged(own, given) == merged(given)
        version = given.version if is_newer else max(self._next_version(), given.version + 1)
        self._change(transaction, version, *rows, signed=signed if is_newer else None)

    def _change(
        self, transaction: Transaction, version: int, *changed: Row, signed: SignedRecalls | None = None
    ) -> None:
        """Write the rows and the set that follows from them, and deal with the items, in this commit."""
        recall_rows.write(transaction, changed)
        said = tuple(Row.of(row).to_recall() for row in transaction.select(recall_rows.ALL))
        recalls = RecallSet(version=version, recalls=said)
        signed = signed or self._key.sign(version, encode_recalls(recalls))
        size = len(encode(signed))
        if len(said) > MAX_RECALLS or size > MAX_UP:
            found = f"{len(said)} recalls of {size} bytes"
            advice = "recall the lot in place of its codes, or lift recalls that are over"
            raise InvalidError("codes", found, f"at most {MAX_RECALLS} recalls of {MAX_UP} bytes", advice)
        transaction.execute(recall_rows.WRITE_SET, [(version, signed.body, signed.signature)])
        self._staged = signed
        transaction.recalls = InForce(recalls)
        for row in changed:
            if transaction.size < FROZEN_AT_ONCE:
                self._bring_in_line(transaction, row)

    def _bring_in_line(self, transaction: Transaction, row: Row) -> None:
        recall = row.to_recall()
        is_all = freeze(transaction, recall) if row.is_active else release(transaction, recall, row.codes)
        if is_all:
            recall_rows.settle(transaction, row.id)

    def _next_version(self) -> int:
        return max(self.version + 1, self._ledger.time.now_us() // 1_000_000)


def _is_same(one: RecallSet, other: RecallSet) -> bool:
    return one.version == other.version and merged(one) == merged(other)


def _checked(transaction: Transaction, wanted: NewRecall) -> NewRecall:
    """The recall with canonical codes. Raises InvalidError."""
    for field in ("id", "product", "reason"):
        if not getattr(wanted, field).strip():
            raise InvalidError(field, "nothing", "a value", "a recall needs it")
    require_two(transaction, wanted.operator, wanted.witness)
    if not find_products(transaction, [wanted.product]):
        raise InvalidError("product", wanted.product, "a product of the catalogue")
    if wanted.lot and wanted.codes:
        raise InvalidError("codes", f"lot {wanted.lot} and {len(wanted.codes)} codes", "a lot or codes, not both")
    if len(wanted.codes) > MAX_CODES:
        raise InvalidError("codes", f"{len(wanted.codes)} codes", f"at most {MAX_CODES}", "recall their lot")
    return msgspec.structs.replace(wanted, codes=tuple(sorted(_canonical(transaction, wanted))))


def _canonical(transaction: Transaction, wanted: NewRecall) -> set[str]:
    known = {item.code for item in items_of(transaction.select_in(statements.ITEMS, wanted.codes))}
    today = transaction.moment().local_date()
    codes = set()
    for index, text in enumerate(wanted.codes):
        try:
            codes.add(text if text in known else parse_scan(text.encode(), entry=Entry.KEYBOARD, today=today).key)
        except CodeRefused as refusal:
            raise InvalidError(f"codes[{index}]", refusal.found, refusal.expected, refusal.advice) from refusal
    transaction.load(codes)
    for code in sorted(codes):
        item = transaction.stock.get(code)
        if item is not None and item.product != wanted.product:
            raise InvalidError("codes", f"{code} of product {item.product}", f"codes of product {wanted.product}")
    return codes


def _refuse_other_content(known: Row, wanted: NewRecall) -> None:
    for field in ("product", "lot", "codes", "reason"):
        found, expected = getattr(wanted, field), getattr(known, field)
        if found != expected:
            shown = (f"{len(found)} codes", "the codes recalled before") if field == "codes" else (found, expected)
            raise ConflictError(field, str(shown[0]), str(shown[1]), f"recall {known.id} stands; give it another id")
