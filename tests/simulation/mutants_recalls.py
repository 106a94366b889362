"""Mutants of the recall lane (I5): what is believed, kept, in force, asked for and given back."""

import contextlib
from typing import Any

import msgspec

from central.sync.recalls import RecallLane as CentralLane
from edge_agent.store import recalls as recalls_store
from edge_agent.store.recalls import HeldRecalls
from edge_agent.sync import recall_lane
from edge_agent.sync.recall_lane import RecallLane
from sync_protocol import lifecycle
from sync_protocol.errors import WireError
from sync_protocol.machines import recalls as lane
from sync_protocol.machines.recalls import Arrived, Effect, Keep, Recalls
from sync_protocol.recalls import InForce, RecallSet, SignedRecalls, open_recalls, read_recalls
from tests.simulation.mutant import Mutant


def _take_any(_machine: Recalls, event: Arrived) -> list[Effect]:
    return [Keep(signed=event.signed)] if event.is_authentic else []


def _open_any(held: RecallLane, signed: SignedRecalls) -> None:
    """The last to arrive is the one that counts."""
    with contextlib.suppress(WireError):
        held._opened = open_recalls(signed, held._keys)
        held._do(held._machine.handle(Arrived(signed=signed, is_authentic=True)))


def _keep_only(held: HeldRecalls, signed: SignedRecalls, recalls: RecallSet) -> None:
    """What came before is forgotten, whatever it said."""
    gone = [(one.version,) for one, _ in held._sets if one.version != signed.version]
    held._sets = [(signed, recalls)]
    held.in_force = InForce(recalls)
    held._journal.write(recalls_store._KEEP, [_row(signed)])
    if gone:
        held._journal.write(recalls_store._DROP, gone)


def _row(signed: SignedRecalls) -> tuple[int, bytes, bytes]:
    return (signed.version, signed.body, signed.signature)


def _keep_in_memory(held: HeldRecalls, signed: SignedRecalls, recalls: RecallSet) -> None:
    held._sets = sorted([(signed, recalls), *held._sets], key=lambda one: -one[0].version)
    held.in_force = InForce(*(each for _, each in held._sets))


_heard = Recalls._heard


def _without(kind: type[Effect]) -> Any:
    def heard(machine: Recalls, event: lane.Heard) -> list[Effect]:
        return [effect for effect in _heard(machine, event) if not isinstance(effect, kind)]

    return heard


def _believe(signed: SignedRecalls, _keys: object) -> RecallSet:
    return read_recalls(signed)


_in_force = InForce.__init__


def _lifted_too(in_force: InForce, *sets: RecallSet) -> None:
    """Who ever heard of a recall goes by it for ever."""
    replace = msgspec.structs.replace
    said = [replace(one, recalls=tuple(replace(word, is_active=True) for word in one.recalls)) for one in sets]
    _in_force(in_force, *said)


RECALLS = (
    Mutant(
        name="recall_by_arrival",
        wrong="the recall set that arrives last counts, not the one of the highest version",
        patches=(
            (Recalls, "_arrived", _take_any),
            (RecallLane, "_arrived", _open_any),
            (HeldRecalls, "keep", _keep_only),
        ),
    ),
    Mutant(
        name="recall_not_kept",
        wrong="a recall set is confirmed and not on the disk",
        patches=((HeldRecalls, "keep", _keep_in_memory),),
    ),
    Mutant(
        name="recall_replaced",
        wrong="a restored central's newer set takes away what it does not know",
        patches=((HeldRecalls, "keep", _keep_only),),
    ),
    Mutant(
        name="recall_unverified",
        wrong="a recall set is believed whoever signed it",
        patches=((recall_lane, "open_recalls", _believe),),
    ),
    Mutant(
        name="recall_not_asked_for",
        wrong="an agent that missed a recall set waits for the next one",
        patches=((Recalls, "_heard", _without(lane.Ask)), (CentralLane, "_remind", lambda _lane, _device: None)),
    ),
    Mutant(
        name="recall_not_given_back",
        wrong="what a restored central has lost of the recalls stays lost",
        patches=((Recalls, "_heard", _without(lane.GiveBack)),),
    ),
    Mutant(
        name="recall_never_lifted",
        wrong="a recall that was lifted goes on",
        patches=((InForce, "__init__", _lifted_too),),
    ),
    Mutant(
        name="recall_not_looked_at",
        wrong="the check passes over the recalls in force",
        patches=((lifecycle, "recalled", lambda _item, _fact, _recalls: None),),
    ),
)
