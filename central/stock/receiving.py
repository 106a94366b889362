"""Delivery notes: what is on its way is announced, and a note is received when all that it named has arrived."""

import datetime as dt
from collections.abc import Iterator

import msgspec

from central.errors import ConflictError, InvalidError, NotFoundError
from central.ledger import rows, statements
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.masterdata import find_products
from central.stock.people import require_two
from sync_protocol.codes import CodeForm, CodeRefused, Entry, parse_scan
from sync_protocol.documents import DeliveryNote, NoteLine, NoteState, Product
from sync_protocol.facts import MAX_CODES, Fact, How, What
from sync_protocol.items import Kind, State

MAX_NOTE = 20_000
"""Codes of one note: its announcement is one commit, and must fit one delta."""


class Receiving:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def announce(self, note: DeliveryNote) -> DeliveryNote:
        """Announce every code of the note; the note as it stands if it was announced before with the same content.

        Raises InvalidError for what is wrong in itself, ConflictError if the ledger knows other content or a code.
        """
        return self._ledger.commit(lambda transaction: _announce(transaction, note))

    async def close(self, note_id: str, *, operator: str, witness: str, reason: str) -> None:
        """What is still expected of a note will not come: two people write it off, and the note is received.

        Raises InvalidError, NotFoundError, BusyError.
        """
        self._ledger.commit(lambda transaction: _close(transaction, note_id, operator, witness, reason))


def settle_notes(transaction: Transaction) -> None:
    """Consequence: a note is received once none of its codes is still expected."""
    came = transaction.shifted(lambda before, now: before is State.EXPECTED and now is not before)
    arrived = {before.document for code in came if (before := transaction.originals[code]) is not None}
    for note in find_notes(transaction, sorted(arrived - {""})):
        if note.state is NoteState.EXPECTED and not _still_expected(transaction, note):
            transaction.put(_with_state(note, NoteState.RECEIVED))


def find_notes(transaction: Transaction, ids: list[str]) -> list[DeliveryNote]:
    return [rows.note_of(row) for row in transaction.select_in(statements.NOTES, ids)]


def _still_expected(transaction: Transaction, note: DeliveryNote) -> bool:
    return any(count for (count,) in transaction.select_in(statements.STILL_EXPECTED, note.codes))


def _with_state(note: DeliveryNote, state: NoteState) -> DeliveryNote:
    return msgspec.structs.replace(note, state=state)


def _close(transaction: Transaction, note_id: str, operator: str, witness: str, reason: str) -> None:
    require_two(transaction, operator, witness)
    if not reason:
        raise InvalidError("reason", "nothing", "a value")
    found = find_notes(transaction, [note_id])
    if not found:
        raise NotFoundError("id", note_id, "a delivery note")
    transaction.load(found[0].codes)
    missing = [code for code in found[0].codes if transaction.stock[code].state is State.EXPECTED]
    for start in range(0, len(missing), MAX_CODES):
        fact = Fact(
            what=What.WRITTEN_OFF,
            codes=tuple(missing[start : start + MAX_CODES]),
            at=transaction.moment(),
            operator=operator,
            witness=witness,
            document=note_id,
            location=found[0].location,
            how=How.CONSOLE,
            reason=reason,
        )
        transaction.record(fact)


def _announce(transaction: Transaction, note: DeliveryNote) -> DeliveryNote:
    products = {product.id: product for product in find_products(transaction, [line.product for line in note.lines])}
    today = transaction.moment().local_date()
    lines = tuple(_checked(index, line, note, products, today) for index, line in enumerate(note.lines))
    note = msgspec.structs.replace(note, state=NoteState.EXPECTED, lines=lines, packs=())
    _check(note)
    for known in find_notes(transaction, [note.id]):
        return _same(known, note)
    _refuse_known_codes(transaction, note)
    transaction.put(note)
    for line in note.lines:
        for fact in _announcements(transaction, note, line, products[line.product]):
            transaction.record(fact)
    return note


def _check(note: DeliveryNote) -> None:
    for field, value in (("id", note.id), ("location", note.location), ("lines", note.lines)):
        if not value:
            raise InvalidError(field, "nothing", "a value", "a delivery note needs it")
    if note.kind is Kind.UNIT:
        raise InvalidError("kind", note.kind, "box or piece", "units come from boxes that are opened")
    codes = note.codes
    if len(codes) > MAX_NOTE:
        raise InvalidError("lines", f"{len(codes)} codes", f"at most {MAX_NOTE}", "split the note")
    seen: set[str] = set()
    for code in codes:
        if code in seen:
            raise InvalidError("codes", f"{code} twice", "each code once in a note", "ask the supplier")
        seen.add(code)


def _checked(index: int, line: NoteLine, note: DeliveryNote, products: dict[str, Product], today: dt.date) -> NoteLine:
    """The line with canonical codes: a scan will be compared with them."""
    where = f"lines[{index}]"
    product = products.get(line.product)
    if product is None:
        raise InvalidError(f"{where}.product", line.product, "a product of the catalogue", "send the product first")
    if product.kind is not note.kind:
        raise InvalidError(f"{where}.product", f"{product.id}, a {product.kind}", f"a {note.kind} as the note says")
    if not line.lot:
        raise InvalidError(f"{where}.lot", "nothing", "the lot number")
    if line.made is not None and line.made > line.expiry:
        raise InvalidError(f"{where}.made", line.made.isoformat(), f"a date before the expiry {line.expiry}")
    if not line.codes:
        raise InvalidError(f"{where}.codes", "nothing", "at least one code")
    codes = tuple(_canonical(f"{where}.codes[{n}]", code, line, product, today) for n, code in enumerate(line.codes))
    return NoteLine(product=line.product, lot=line.lot, expiry=line.expiry, made=line.made, codes=codes)


def _canonical(where: str, text: str, line: NoteLine, product: Product, today: dt.date) -> str:
    """The code's key. What the code says of its product, lot and expiry must be what the line says (A10)."""
    try:
        code = parse_scan(text.encode(), entry=Entry.KEYBOARD, today=today)
    except CodeRefused as refusal:
        raise InvalidError(where, refusal.found, refusal.expected, refusal.advice) from refusal
    if code.form is CodeForm.SUB_CODE:
        raise InvalidError(where, f"{code.key}, a unit of an opened box", "the code of one package")
    if code.is_class:
        raise InvalidError(where, f"{code.key}, a code without serial number", "the code of one package")
    for name, found, expected in (
        ("drug code", code.drug_id, product.drug_ids),
        ("GTIN", code.gtin, product.gtins),
        ("lot", code.lot, (line.lot,)),
        ("expiry", code.expiry, (line.expiry,)),
    ):
        if found is not None and expected and found not in expected:
            wanted = " or ".join(str(one) for one in expected)
            raise InvalidError(where, f"{name} {found}", f"{wanted} of the line", "ask the supplier which is true")
    return code.key


def _same(known: DeliveryNote, note: DeliveryNote) -> DeliveryNote:
    for field in ("supplier", "location", "kind", "lines"):
        found, expected = getattr(note, field), getattr(known, field)
        if found != expected:
            shown = (f"{len(found)} lines", "the lines announced before") if field == "lines" else (found, expected)
            raise ConflictError(field, str(shown[0]), str(shown[1]), f"note {note.id} stands; send a new number")
    return known


def _refuse_known_codes(transaction: Transaction, note: DeliveryNote) -> None:
    transaction.load(note.codes)
    for code in note.codes:
        item = transaction.stock.get(code)
        if item is not None:
            found = f"{code}, {item.state} by document {item.document}"
            raise ConflictError("codes", found, "a code that is not in the ledger", "ask the supplier")


def _announcements(transaction: Transaction, note: DeliveryNote, line: NoteLine, product: Product) -> Iterator[Fact]:
    for start in range(0, len(line.codes), MAX_CODES):
        yield Fact(
            what=What.ANNOUNCED,
            codes=line.codes[start : start + MAX_CODES],
            at=transaction.moment(),
            document=note.id,
            location=note.location,
            how=How.MESSAGE,
            source=note.supplier,
            product=line.product,
            lot=line.lot,
            expiry=line.expiry,
            made=line.made,
            kind=note.kind,
            is_controlled=product.is_controlled,
        )
