"""What routes read from the query string."""

from typing import Annotated

import msgspec

from central.api.documents import Key, Place, Text
from sync_protocol.documents import OrderState
from sync_protocol.items import Kind, State

Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class Page(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``after`` is ``next`` of the page before."""

    limit: Limit = 100
    after: Text = ""


class ItemsQuery(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of the code pool; all that are given must fit. ``code`` is a part of the code."""

    state: State | None = None
    kind: Kind | None = None
    product: Text = ""
    lot: Text = ""
    location: Text = ""
    order: Text = ""
    box: Text = ""
    document: Text = ""
    code: Text = ""
    expires_by: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")] = ""


class OrdersQuery(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state: OrderState | None = None


class ListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = 100
    after: Place = 0


class ExceptionsQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``open``: true for the work list, false for what is closed; both if left out."""

    open: bool | None = None


class InsurerQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state: Text = ""
    order: Text = ""


class TimelineQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: Key
