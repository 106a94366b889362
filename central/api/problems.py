"""What went wrong, as application/problem+json (RFC 9457) with the mistakes by field."""

import math
from http import HTTPStatus

import msgspec
from aiohttp import web

from central.api.decode import MalformedError, Mistake
from central.errors import BusyError, ConflictError, ForbiddenError, InvalidError, NotFoundError, RequestError

MEDIA_TYPE = "application/problem+json"
# A route below /api that no page of the documentation explains further: the type is the status alone (RFC 9457 §4.2.1).
_TYPE = "about:blank"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """``detail`` says what happened; ``mistakes`` what to change, field by field."""

    type: str = _TYPE
    title: str
    status: int
    detail: str
    mistakes: tuple[Mistake, ...] = ()


_STATUS: dict[type[RequestError], HTTPStatus] = {
    InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ConflictError: HTTPStatus.CONFLICT,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ForbiddenError: HTTPStatus.FORBIDDEN,
}


def status_of(error: RequestError) -> HTTPStatus:
    return next(
        (status for kind, status in _STATUS.items() if isinstance(error, kind)), HTTPStatus.UNPROCESSABLE_ENTITY
    )


def retry_after(error: BusyError) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}


def problem(status: int, detail: str, *mistakes: Mistake, headers: dict[str, str] | None = None) -> web.Response:
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, mistakes=mistakes)
    return web.Response(status=status, body=msgspec.json.encode(body), headers=headers or {}, content_type=MEDIA_TYPE)


def problem_of(error: Exception) -> web.Response | None:
    """The answer to an error that a caller can do something about; None: it is ours."""
    match error:
        case MalformedError():
            return problem(HTTPStatus.BAD_REQUEST, "the request has mistakes", *error.mistakes)
        case RequestError():
            mistake = Mistake(field=error.field, found=error.found, expected=error.expected, advice=error.advice)
            return problem(status_of(error), str(error), mistake)
        case BusyError():
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers=retry_after(error))
        case web.HTTPException():
            kept = {name: value for name, value in error.headers.items() if name in {"Allow", "WWW-Authenticate"}}
            return problem(error.status, error.text or error.reason, headers=kept)
    return None
