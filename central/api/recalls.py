"""Recalls over the interface: issued and lifted in the name of two people, and who has confirmed them."""

from typing import Annotated
from urllib.parse import quote

import msgspec

from central.api.calls import PREFIX, Call, Reply, Route
from central.api.documents import CodeText, Key, Text
from central.auth import Scope
from central.errors import NotFoundError
from central.ledger import read_recalls
from central.ledger.read_recalls import Cover, RecallRow
from central.stock.recalls import NewRecall
from sync_protocol.facts import MAX_CODES

_REFUSALS = (409, 422, 503)
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\u0000-\u001f\u007f]*$")]


class RecallDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lot of a product, all its lots (no ``lot``), or single codes of it. Operator and witness are two people."""

    id: Key
    product: Key
    lot: Text = ""
    codes: Annotated[tuple[CodeText, ...], msgspec.Meta(max_length=MAX_CODES)] = ()
    reason: Reason
    operator: Key
    witness: Key


class LiftDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
    operator: Key
    witness: Key


class Recalls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``version``: of the signed set that agents confirm."""

    recalls: tuple[RecallRow, ...]
    version: int


async def issue(call: Call) -> Reply:
    body: RecallDocument = call.body
    is_known = await read_recalls.cover(call.services.read, body.id) is not None
    await call.services.recalls.issue(NewRecall(**msgspec.structs.asdict(body)))
    location = "" if is_known else f"{PREFIX}/recalls/{quote(body.id, safe='')}/cover"
    return Reply(document=await _found(call, body.id), location=location)


async def lift(call: Call) -> Reply:
    body: LiftDocument = call.body
    await call.services.recalls.lift(call.path["id"], **msgspec.structs.asdict(body))
    return Reply(document=await _found(call, call.path["id"]))


async def every(call: Call) -> Reply:
    found = tuple(await read_recalls.recalls(call.services.read))
    return Reply(document=Recalls(recalls=found, version=call.services.recalls.version))


async def cover(call: Call) -> Reply:
    return Reply(document=await _found(call, call.path["id"]))


async def _found(call: Call, recall_id: str) -> Cover:
    found = await read_recalls.cover(call.services.read, recall_id)
    if found is None:
        raise NotFoundError("id", recall_id, "a recall that was issued", "issue it by POST /api/v1/recalls")
    return found


WRITING: tuple[Route, ...] = (
    Route(
        name="issueRecall",
        method="POST",
        path="/recalls",
        summary="Recall a lot or codes: frozen here at once, on its way to every agent; the same again changes nothing",
        scope=Scope.RECALLS,
        handler=issue,
        body=RecallDocument,
        answer=Cover,
        creates=True,
        faults=_REFUSALS,
    ),
    Route(
        name="liftRecall",
        method="POST",
        path="/recalls/{id}/lift",
        summary="End a recall: what it froze is released",
        scope=Scope.RECALLS,
        handler=lift,
        body=LiftDocument,
        answer=Cover,
        faults=(404, *_REFUSALS),
    ),
)
READING: tuple[Route, ...] = (
    Route(
        name="listRecalls",
        method="GET",
        path="/recalls",
        summary="All recalls, those in force first",
        scope=Scope.READ,
        handler=every,
        answer=Recalls,
    ),
    Route(
        name="getRecallCover",
        method="GET",
        path="/recalls/{id}/cover",
        summary="Which agents have confirmed a recall, where its items are, which patients got one",
        scope=Scope.READ,
        handler=cover,
        answer=Cover,
        faults=(404,),
    ),
)
