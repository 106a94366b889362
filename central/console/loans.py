"""Loans: what wards have without an order, how long, and the orders that it is likely for (A17, X08)."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import msgspec

from central.api.documents import Place
from central.console.acting import Form, asked, second_person, told, whole
from central.console.message import message
from central.console.paging import paged
from central.console.pins import Doubt, Pins
from central.console.sheet import Cell, Sheet
from central.console.visit import View, Visit
from central.errors import InvalidError, RequestError
from central.ledger import read_aside, read_console
from central.ledger.read_aside import Aside
from central.stock.loans import Binding, proposals
from sync_protocol.documents import OPEN_ORDERS, Order

PATH = "/loans"
MOST = 5_000
"""Codes on loan that are looked at."""
PAGE = 50
_DIGITS = 4
_HOUR_US = 3_600_000_000
_HEADS = (
    message("Ward"),
    message("Product"),
    message("Name"),
    message("Location"),
    message("Code"),
    message("Lent"),
    message("By"),
    message("Fits order"),
)


class Query(msgspec.Struct, frozen=True, kw_only=True):
    page: Place = 1


class Loan(msgspec.Struct, frozen=True, kw_only=True):
    """What one ward has of one product of one place, the oldest first."""

    ward: str
    product: str
    location: str
    codes: tuple[str, ...]
    lent_us: int
    people: frozenset[str]
    is_controlled: bool
    orders: tuple[Order, ...]

    @property
    def id(self) -> str:
        return f"{self.ward}~{self.product}~{self.location}"


async def show(visit: Visit) -> View:
    return await _page(visit)


async def bind(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    chosen = asked(form, "loan", 400)
    loan = next((loan for loan in await _loans(visit) if loan.id == chosen), None)
    witness = ""
    if loan is not None and loan.is_controlled:
        signed = await second_person(visit, form, pins)
        if isinstance(signed, Doubt):
            return await _page(visit, chosen=chosen, cause=signed.cause, status=signed.status)
        witness = signed
    try:
        codes = _codes(loan, asked(form, "quantity"))
        binding = Binding(order=asked(form, "order"), codes=codes, operator=visit.actor, witness=witness)
        await visit.services.loans.bind(binding)
    except RequestError as error:
        return await _page(visit, chosen=chosen, cause=told(visit, error), status=422)
    return visit.link(PATH)


def _codes(loan: Loan | None, quantity: str) -> tuple[str, ...]:
    """The first of the loan's codes. Raises InvalidError."""
    most = len(loan.codes) if loan is not None else 0
    number = whole(quantity, _DIGITS)
    if loan is None or number is None or not 1 <= number <= most:
        raise InvalidError("quantity", quantity or "nothing", f"a number from 1 to {most}")
    return loan.codes[:number]


async def sheet(visit: Visit) -> Sheet:
    """A row a code on loan."""
    return Sheet(name="loans", heads=visit.heads(_HEADS), rows=_rows(visit))


async def _rows(visit: Visit) -> AsyncIterator[Sequence[Cell]]:
    products = await read_console.products(visit.services.read)
    for loan in await _loans(visit):
        for code in loan.codes:
            yield (
                loan.ward,
                loan.product,
                visit.full(products, loan.product),
                loan.location,
                code,
                visit.stamp(loan.lent_us),
                ", ".join(sorted(loan.people)),
                ", ".join(order.id for order in loan.orders),
            )


async def _page(visit: Visit, *, status: int = 200, chosen: str = "", cause: str = "") -> View:
    engine, loans = visit.services.read, await _loans(visit)
    rows = paged(loans, visit.query(Query).page, size=PAGE)
    values = {
        "loans": rows.rows,
        "rows": rows,
        "total": sum(len(loan.codes) for loan in loans),
        "products": await read_console.products(engine, {loan.product for loan in loans}),
        "people": await read_console.people_names(engine, {name for loan in loans for name in loan.people}),
        "age_h": lambda loan: (visit.services.time.now_us() - loan.lent_us) / _HOUR_US,
        "chosen": chosen,
        "cause": cause,
        "path": PATH,
        "here": visit.link(PATH),
    }
    return View(template="loans.html", values=values, status=status)


async def _loans(visit: Visit) -> list[Loan]:
    """The oldest first."""
    engine = visit.services.read
    groups: dict[tuple[str, str, str], list[Aside]] = defaultdict(list)
    for each in await read_aside.lent(engine, limit=MOST):
        groups[each.item.holder, each.item.product, each.item.location].append(each)
    orders = await read_aside.open_orders(engine, {product for _, product, _ in groups}, OPEN_ORDERS)
    loans = [_loan(key, group, orders) for key, group in groups.items()]
    return sorted(loans, key=lambda loan: (loan.lent_us, loan.id))


def _loan(key: tuple[str, str, str], group: Sequence[Aside], orders: Sequence[Order]) -> Loan:
    ward, product, location = key
    group = sorted(group, key=lambda each: (each.at_us, each.item.code))
    lent_us = group[0].at_us
    fitting = [order for order in orders if (order.product, order.location) == (product, location)]
    return Loan(
        ward=ward,
        product=product,
        location=location,
        codes=tuple(each.item.code for each in group),
        lent_us=lent_us,
        people=frozenset(each.operator for each in group if each.operator),
        is_controlled=any(each.item.is_controlled for each in group),
        orders=tuple(proposals(fitting, ward=ward, lent_us=lent_us, quantity=len(group))),
    )
