"""Handlers that change the ledger. They hold no rule: a service decides."""

from urllib.parse import quote

import msgspec

from central.api.calls import PREFIX, Call, Reply
from central.api.documents import Changed, NoteDocument, People, Places, Products, UsageDocument
from central.ledger import read_api
from central.stock.usage import Usage


async def put_products(call: Call) -> Reply:
    body: Products = call.body
    changed = await call.services.masterdata.put_products([entry.to_product() for entry in body.products])
    return Reply(document=Changed(changed=changed))


async def put_people(call: Call) -> Reply:
    body: People = call.body
    changed = await call.services.masterdata.put_people([entry.to_person() for entry in body.people])
    return Reply(document=Changed(changed=changed))


async def put_places(call: Call) -> Reply:
    body: Places = call.body
    changed = await call.services.places.put([entry.to_place() for entry in body.places])
    return Reply(document=Changed(changed=changed))


async def announce(call: Call) -> Reply:
    body: NoteDocument = call.body
    is_known = await read_api.one_note(call.services.read, body.id) is not None
    note = await call.services.receiving.announce(body.to_note())
    location = "" if is_known else f"{PREFIX}/delivery-notes/{quote(note.id, safe='')}"
    return Reply(document=NoteDocument.of(note), location=location)


async def record_usage(call: Call) -> Reply:
    body: UsageDocument = call.body
    await call.services.usage.record(Usage(**msgspec.structs.asdict(body)))
    return Reply(document=body)
