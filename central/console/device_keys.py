"""Keys that wait at the sync page: two people compare the fingerprint with the device's own, and let it in."""

from central.console import sync
from central.console.acting import Form, asked, second_person, told
from central.console.pins import Doubt, Pins
from central.console.visit import View, Visit
from central.errors import RequestError

PATH = "/sync"


async def accept(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    device = visit.request.match_info["device"]
    given = {"witness": asked(form, "witness")}
    witness = await second_person(visit, form, pins)
    if isinstance(witness, Doubt):
        return await sync.page(visit, form=given, cause=witness.cause, status=witness.status)
    keys = visit.services.device_keys
    try:
        key = keys.waiting_key(device, asked(form, "fingerprint"))
        keys.accept(device, key, operator=visit.actor, witness=witness)
    except RequestError as error:
        return await sync.page(visit, form=given, cause=told(visit, error), status=422)
    return PATH
