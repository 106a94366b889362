"""Handlers that only read."""

import msgspec

from central.api.calls import Call, Reply
from central.api.documents import (
    Agents,
    Exceptions,
    InsurerRows,
    ItemDocument,
    Items,
    NoteDocument,
    OrderDocument,
    Orders,
    Timeline,
)
from central.api.queries import ExceptionsQuery, InsurerQuery, ItemsQuery, OrdersQuery, TimelineQuery
from central.errors import NotFoundError
from central.ledger import read_api


async def note(call: Call) -> Reply:
    found = await read_api.one_note(call.services.read, call.path["id"])
    if found is None:
        raise NotFoundError("id", call.path["id"], "a delivery note that was announced", "announce it first")
    return Reply(document=NoteDocument.of(found))


async def orders(call: Call) -> Reply:
    query: OrdersQuery = call.query
    found = await read_api.order_page(call.services.read, state=query.state or "", after=query.after, limit=query.limit)
    following = found[-1][0].id if len(found) == query.limit else None
    return Reply(document=Orders(orders=tuple(OrderDocument.of(*pair) for pair in found), next=following))


async def order(call: Call) -> Reply:
    found = call.services.orders.found([call.path["id"]]).get(call.path["id"])
    if found is None:
        raise NotFoundError(
            "id", call.path["id"], "an order that was placed", "place it by POST /fhir/MedicationRequest"
        )
    return Reply(document=OrderDocument.of(*found))


async def items(call: Call) -> Reply:
    query: ItemsQuery = call.query
    fields = {name: value or "" for name, value in msgspec.structs.asdict(query).items()}
    wanted = read_api.ItemFilter(**{name: fields[name] for name in read_api.ItemFilter.__struct_fields__})
    found = await read_api.items(call.services.read, wanted, after=query.after, limit=query.limit)
    following = found[-1][0].code if len(found) == query.limit else None
    return Reply(document=Items(items=tuple(ItemDocument.of(*pair) for pair in found), next=following))


async def timeline(call: Call) -> Reply:
    query: TimelineQuery = call.query
    found = await read_api.one_item(call.services.read, query.code)
    if found is None:
        raise NotFoundError("code", query.code, "the canonical code of an item", "announce or pre-scan it first")
    codes = [code for code in (found[0].box, found[0].code) if code]
    events = await read_api.timeline(call.services.read, codes, after=query.after, limit=query.limit)
    following = events[-1].position if len(events) == query.limit else None
    return Reply(document=Timeline(item=ItemDocument.of(*found), events=tuple(events), next=following))


async def exceptions(call: Call) -> Reply:
    query: ExceptionsQuery = call.query
    found = await read_api.exceptions(call.services.read, is_open=query.open, after=query.after, limit=query.limit)
    following = found[-1].id if len(found) == query.limit else None
    return Reply(document=Exceptions(exceptions=tuple(found), next=following))


async def agents(call: Call) -> Reply:
    version = await read_api.ledger_version(call.services.read)
    return Reply(document=Agents(agents=tuple(await read_api.agents(call.services.read)), version=version))


async def insurer_rows(call: Call) -> Reply:
    query: InsurerQuery = call.query
    found = await read_api.insurer_rows(
        call.services.read, state=query.state, order=query.order, after=query.after, limit=query.limit
    )
    following = found[-1].id if len(found) == query.limit else None
    return Reply(document=InsurerRows(rows=tuple(found), next=following))
