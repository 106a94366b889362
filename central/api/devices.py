"""Devices over the interface: whose key is believed, who waits to be let in, and letting in by two people (REQ-09)."""

import base64
import binascii
from typing import Annotated

import msgspec

from central.api.calls import Call, Reply, Route
from central.api.documents import Key
from central.auth import Scope
from central.errors import InvalidError
from sync_protocol.envelope import fingerprint

_REFUSALS = (409, 422, 503)
PublicKey = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9+/]{43}=$")]


class DeviceKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``state``: waiting, accepted or revoked; ``fingerprint``: what ``codepool-edge identity`` shows at the device."""

    device: str
    key: str
    fingerprint: str
    state: str


class DeviceKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``enrolment``: open takes the first key that a device shows, listed waits for two people."""

    enrolment: str
    keys: tuple[DeviceKey, ...]


class AcceptDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The public key of the device, and the two people who compared its fingerprint."""

    key: PublicKey
    operator: Key
    witness: Key


class RevokeDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    operator: Key
    witness: Key


async def every(call: Call) -> Reply:
    return Reply(document=_document(call))


async def accept(call: Call) -> Reply:
    body: AcceptDocument = call.body
    try:
        key = base64.b64decode(body.key, validate=True)
    except binascii.Error as error:
        raise InvalidError("key", body.key, "32 bytes in base64, as codepool-edge identity shows them") from error
    call.services.device_keys.accept(call.path["id"], key, operator=body.operator, witness=body.witness)
    return Reply(document=_document(call))


async def revoke(call: Call) -> Reply:
    body: RevokeDocument = call.body
    call.services.device_keys.revoke(call.path["id"], operator=body.operator, witness=body.witness)
    return Reply(document=_document(call))


def _document(call: Call) -> DeviceKeys:
    keys = call.services.device_keys
    known = tuple(
        DeviceKey(device=device, key=base64.b64encode(key).decode(), fingerprint=fingerprint(key), state=state)
        for device, key, state in keys.every
    )
    return DeviceKeys(enrolment=keys.enrolment, keys=known)


WRITING: tuple[Route, ...] = (
    Route(
        name="acceptDeviceKey",
        method="PUT",
        path="/devices/{id}/key",
        summary="Believe this key of a device from now on, and no other; the same again changes nothing",
        scope=Scope.DEVICES,
        handler=accept,
        body=AcceptDocument,
        answer=DeviceKeys,
        faults=_REFUSALS,
    ),
    Route(
        name="revokeDeviceKey",
        method="POST",
        path="/devices/{id}/revoke",
        summary="Believe a device no more: what it sends is refused from now on",
        scope=Scope.DEVICES,
        handler=revoke,
        body=RevokeDocument,
        answer=DeviceKeys,
        faults=(404, *_REFUSALS),
    ),
)
READING: tuple[Route, ...] = (
    Route(
        name="listDeviceKeys",
        method="GET",
        path="/devices",
        summary="Keys of devices: accepted, waiting, revoked",
        scope=Scope.READ,
        handler=every,
        answer=DeviceKeys,
    ),
)
