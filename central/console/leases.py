"""Leases: who may issue what without asking, until when, what is in doubt, and the count of two people that ends it."""

from typing import Any

import msgspec

from central.api.documents import Text
from central.console.acting import LONGEST, Form, asked, second_person, told
from central.console.pins import Doubt, Pins
from central.console.visit import View, Visit
from central.errors import RequestError
from central.stock.services import UNHEARD, EndLease, LeaseView

PATH = "/leases"
_LONGEST = {"found": 400_000, "reason": 200, "witness": LONGEST}


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """``freed``: how many items the count that was just sent in gave back to all."""

    freed: Text = ""


async def show(visit: Visit) -> View:
    return _page(visit, freed=visit.query(Query).freed)


async def end(visit: Visit, form: Form, pins: Pins) -> View | str:
    """Where to go when it is done; the page with what is wrong otherwise."""
    device = visit.request.match_info["device"]
    given = {name: asked(form, name, longest) for name, longest in _LONGEST.items()}
    witness = await second_person(visit, form, pins)
    if isinstance(witness, Doubt):
        return _page(visit, asked=device, form=given, cause=witness.cause, status=witness.status)
    try:
        freed = visit.services.end_lease(
            EndLease(
                device=device,
                operator=visit.actor,
                witness=witness,
                reason=given["reason"],
                found=tuple(dict.fromkeys(given["found"].split())),
                is_all=bool(form.get("is_all")),
            )
        )
    except RequestError as error:
        return _page(visit, asked=device, form=given, cause=told(visit, error), status=422)
    return visit.link(PATH, freed=freed)


def sentence(visit: Visit, leases: tuple[LeaseView, ...]) -> str:
    """Whether anything is with nobody, in one sentence."""
    say = visit.language.say
    unheard = [lease.device for lease in leases if lease.standing == UNHEARD]
    if unheard:
        return say(
            "The ledger was restored: nobody gets anything new before %(devices)s said what it holds.",
            devices=say(", ").join(unheard),
        )
    doubtful = [lease.device for lease in leases if lease.may_end]
    if doubtful:
        return say(
            "In doubt: what %(devices)s held. Nobody else gets it before two people have counted it.",
            devices=say(", ").join(doubtful),
        )
    if not any(lease.held for lease in leases):
        return say("No workplace holds anything: all stock is asked for one by one.")
    return say("Every item is with one workplace at most, and each of them can be reached or has time left.")


def _page(visit: Visit, *, status: int = 200, **values: Any) -> View:
    leases = visit.services.leases()
    known = {
        "leases": leases,
        "sentence": sentence(visit, leases),
        "is_well": not any(lease.may_end or lease.standing == UNHEARD for lease in leases),
        "form": {},
        "blank": dict.fromkeys(_LONGEST, ""),
        "asked": "",
        "cause": "",
        "freed": "",
        "here": PATH,  # also where the answer to a form is shown
    }
    return View(template="leases.html", values=known | values, status=status)
