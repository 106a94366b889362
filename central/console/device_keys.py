"""Keys that wait at the sync page: two people compare the fingerprint with the device's own, and let it in."""

from collections.abc import Mapping
from typing import Any

from central.console import sync
from central.console.pins import Doubt, Pins
from central.console.visit import View, Visit
from central.errors import RequestError

PATH = "/sync"
_LONGEST = 128


async def accept(visit: Visit, form: Mapping[str, Any], pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    session = visit.session
    assert session is not None, "only people who are signed in act"
    device, shown = visit.request.match_info["device"], str(form.get("fingerprint", ""))[:_LONGEST]
    witness = str(form.get("witness", "")).strip()[:_LONGEST]
    doubt = await pins.name_of(visit, witness, str(form.get("pin", ""))[:_LONGEST])
    if isinstance(doubt, Doubt):
        return await sync.page(visit, cause=doubt.cause, status=doubt.status)
    keys = visit.services.device_keys
    try:
        keys.accept(device, keys.waiting_key(device, shown), operator=session.person, witness=witness)
    except RequestError as error:
        say = visit.language.say
        cause = say("found %(found)s", found=visit.known(error.found))
        expected = say("expected %(expected)s", expected=visit.known(error.expected))
        return await sync.page(visit, cause=f"{cause} · {expected}", status=422)
    return PATH
