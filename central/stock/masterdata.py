"""Master data from the hospital: the catalogue of products, and staff."""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from central.errors import ConflictError, InvalidError
from central.ledger import rows, statements
from central.ledger.staging import in_chunks
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.people import People
from sync_protocol.documents import Person, Product
from sync_protocol.facts import MAX_UNITS
from sync_protocol.items import Kind

_USED = "SELECT 1 FROM item WHERE product = ? LIMIT 1"


class MasterData:
    def __init__(self, ledger: Ledger, people: People) -> None:
        self._ledger = ledger
        self._people = people

    async def put_products(self, products: list[Product]) -> int:
        """Write all catalogue entries or none; says how many were new or other. Raises InvalidError, ConflictError."""
        for product in products:
            _check(product)
        ids = [product.id for product in products]
        twice = sorted({one for one in ids if ids.count(one) > 1}) if len(set(ids)) < len(ids) else []
        if twice:
            raise InvalidError("products", f"{', '.join(twice)} twice", "each product once")
        return self._ledger.commit(lambda transaction: _write(transaction, products))

    def products(self, ids: Iterable[str]) -> dict[str, Product]:
        """Those of the products that are in the catalogue, by id."""
        found = in_chunks(self._ledger.connection, statements.PRODUCTS, sorted(set(ids)))
        return {product.id: product for product in (rows.product_of(body) for (body,) in found)}

    async def put_people(self, people: list[Person]) -> int:
        """As ``People.put``."""
        return await self._people.put(people)


def _check(product: Product) -> None:
    where = f"products[{product.id}]"
    if not product.id or not product.name:
        raise InvalidError(where, f"{product.id!r} named {product.name!r}", "an id and a name")
    if product.kind is Kind.UNIT:
        raise InvalidError(f"{where}.kind", product.kind, "box or piece", "units come from boxes that are opened")
    if not 1 <= product.units <= MAX_UNITS:
        raise InvalidError(f"{where}.units", str(product.units), f"1 to {MAX_UNITS}")
    if product.kind is Kind.PIECE and product.units != 1:
        raise InvalidError(f"{where}.units", str(product.units), "1 for a piece")
    try:
        is_price = Decimal(product.box_price) >= 0
    except InvalidOperation:
        is_price = False
    if not is_price:
        raise InvalidError(f"{where}.box_price", product.box_price, "yuan as a decimal number of 0 or more")


def _write(transaction: Transaction, products: list[Product]) -> int:
    ids = [product.id for product in products]
    present = {product.id: product for product in find_products(transaction, ids)}
    changed = [product for product in products if present.get(product.id) != product]
    for product in changed:
        known = present.get(product.id)
        if known is not None and (known.kind, known.units) != (product.kind, product.units):
            _refuse_if_used(transaction, known, product)
        transaction.put(product)
    return len(changed)


def _refuse_if_used(transaction: Transaction, known: Product, product: Product) -> None:
    """Items of the product were opened and counted by the old entry: changing it would change what they are."""
    if transaction.select(_USED, (product.id,)):
        raise ConflictError(
            f"products[{product.id}].units",
            f"{product.kind} of {product.units}",
            f"{known.kind} of {known.units}, as its items in the ledger are",
            "give the new package a product id of its own",
        )


def find_products(transaction: Transaction, ids: list[str]) -> list[Product]:
    return [rows.product_of(row[0]) for row in transaction.select_in(statements.PRODUCTS, ids)]
