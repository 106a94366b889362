"""The table of routes: each with what it reads, what it answers and who may call it. OpenAPI is made from it."""

from central.api import devices, documents, leases, queries, reading, recalls, writing
from central.api.calls import Route
from central.auth import Scope

_REFUSALS = (409, 422, 503)
"""What a service may answer to something new: it disagrees with the ledger, it cannot be, the ledger is busy."""

WRITING: tuple[Route, ...] = (
    Route(
        name="putProducts",
        method="PUT",
        path="/products",
        summary="Add or renew catalogue entries",
        scope=Scope.MASTERDATA,
        handler=writing.put_products,
        body=documents.Products,
        answer=documents.Changed,
        faults=_REFUSALS,
    ),
    Route(
        name="putPeople",
        method="PUT",
        path="/people",
        summary="Add or renew members of staff",
        scope=Scope.MASTERDATA,
        handler=writing.put_people,
        body=documents.People,
        answer=documents.Changed,
        faults=_REFUSALS,
    ),
    Route(
        name="announceDeliveryNote",
        method="POST",
        path="/delivery-notes",
        summary="Announce what a supplier delivers; the same note again changes nothing",
        scope=Scope.RECEIVING,
        handler=writing.announce,
        body=documents.NoteDocument,
        answer=documents.NoteDocument,
        creates=True,
        faults=_REFUSALS,
    ),
    Route(
        name="recordUsage",
        method="POST",
        path="/usages",
        summary="Pieces that were taken were used for a patient; the same message again changes nothing",
        scope=Scope.USAGE,
        handler=writing.record_usage,
        body=documents.UsageDocument,
        answer=documents.UsageDocument,
        faults=(404, *_REFUSALS),
    ),
)

READING: tuple[Route, ...] = (
    Route(
        name="getDeliveryNote",
        method="GET",
        path="/delivery-notes/{id}",
        summary="A delivery note and whether it is received",
        scope=Scope.READ,
        handler=reading.note,
        answer=documents.NoteDocument,
        faults=(404,),
    ),
    Route(
        name="listOrders",
        method="GET",
        path="/orders",
        summary="Order lines with the codes locked to them or dispensed for them, by id",
        scope=Scope.READ,
        handler=reading.orders,
        query=queries.OrdersQuery,
        answer=documents.Orders,
    ),
    Route(
        name="getOrder",
        method="GET",
        path="/orders/{id}",
        summary="One order line",
        scope=Scope.READ,
        handler=reading.order,
        answer=documents.OrderDocument,
        faults=(404,),
    ),
    Route(
        name="listItems",
        method="GET",
        path="/items",
        summary="Boxes, units and pieces, by code",
        scope=Scope.READ,
        handler=reading.items,
        query=queries.ItemsQuery,
        answer=documents.Items,
    ),
    Route(
        name="getTimeline",
        method="GET",
        path="/timeline",
        summary="The life of one code; a unit's begins with the life of its box",
        scope=Scope.READ,
        handler=reading.timeline,
        query=queries.TimelineQuery,
        answer=documents.Timeline,
        faults=(404,),
    ),
    Route(
        name="listExceptions",
        method="GET",
        path="/exceptions",
        summary="Facts that do not fit, oldest first",
        scope=Scope.READ,
        handler=reading.exceptions,
        query=queries.ExceptionsQuery,
        answer=documents.Exceptions,
    ),
    Route(
        name="listAgents",
        method="GET",
        path="/agents",
        summary="Devices that speak to central, as last heard",
        scope=Scope.READ,
        handler=reading.agents,
        answer=documents.Agents,
    ),
    Route(
        name="listInsurerRows",
        method="GET",
        path="/insurer-rows",
        summary="Rows for the insurer, oldest first",
        scope=Scope.READ,
        handler=reading.insurer_rows,
        query=queries.InsurerQuery,
        answer=documents.InsurerRows,
    ),
)

ROUTES = (
    *(*WRITING, *recalls.WRITING, *devices.WRITING, *leases.WRITING),
    *(*READING, *recalls.READING, *devices.READING, *leases.READING),
)
