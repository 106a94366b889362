"""Leases over the interface: who may issue what without asking, and the count that takes it from who is gone."""

from typing import Annotated

import msgspec

from central.api.calls import Call, Reply, Route
from central.api.documents import CodeText, Key
from central.api.recalls import Reason
from central.auth import Scope
from central.stock.services import Deciding, EndLease, LeaseView
from sync_protocol.leases import MOST_CLAIMED


class Leases(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``deciding``: what is on its way: while it is not nothing, who waits may ask again soon."""

    leases: tuple[LeaseView, ...]
    deciding: Deciding


class CountDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What two people found of an agent's items: ``found``, or all of them. The rest stays in doubt."""

    operator: Key
    witness: Key
    reason: Reason
    found: Annotated[tuple[CodeText, ...], msgspec.Meta(max_length=MOST_CLAIMED)] = ()
    is_all: bool = False


class Freed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many items other agents may have now."""

    freed: int


async def every(call: Call) -> Reply:
    return Reply(document=Leases(leases=call.services.leases(), deciding=call.services.deciding_leases()))


async def end(call: Call) -> Reply:
    body: CountDocument = call.body
    freed = call.services.end_lease(EndLease(device=call.path["id"], **msgspec.structs.asdict(body)))
    return Reply(document=Freed(freed=freed))


WRITING: tuple[Route, ...] = (
    Route(
        name="endLease",
        method="POST",
        path="/leases/{id}/end",
        summary="Two people counted what a silent agent holds: what they found may go to others",
        scope=Scope.LEASES,
        handler=end,
        body=CountDocument,
        answer=Freed,
        faults=(404, 409, 422, 503),
    ),
)
READING: tuple[Route, ...] = (
    Route(
        name="listLeases",
        method="GET",
        path="/leases",
        summary="Who may issue what without asking, by device",
        scope=Scope.READ,
        handler=every,
        answer=Leases,
    ),
)
