"""One operation of the interface, one call of it and its reply."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from central.auth import Client, Scope
from central.stock.services import Services

PREFIX = "/api/v1"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, read and checked: ``query`` and ``body`` are of the route's types."""

    services: Services
    client: Client
    path: Mapping[str, str]
    query: Any = None
    body: Any = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """``location`` set: something new is there now."""

    document: msgspec.Struct
    location: str = ""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation. ``faults`` are the statuses that it may answer besides those that every route may."""

    name: str
    method: str
    path: str
    summary: str
    scope: Scope
    handler: Callable[[Call], Awaitable[Reply]]
    answer: type[msgspec.Struct]
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    creates: bool = False
    faults: tuple[int, ...] = ()
