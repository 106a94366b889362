"""Messages of the code platform (码上放心, domain facts: MSFX) behind the TOP gateway: parameters, signature, answers.

::

    text = every parameter but ``sign``, sorted by name, as name value name value … without separators, UTF-8
    md5          MD5(secret text secret)        hmac         HMAC-MD5(secret, text)
    hmac-sha256  HMAC-SHA256(secret, text)      each in upper-case hex
"""

import datetime as dt
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

FAMILY = "alibaba.alihealth.drugtrace.top.yljg."
SMALLEST = 1
"""``code_pack_level`` of a box. ``code_level`` runs the other way and is not looked at."""
RECEIVED = "102"
"""``bill_type``: 采购入库."""
DUPLICATE = "BILL_FILE_NAME_DUPLICATE_UPLOAD"
SERVICE_ERROR = "15"
_MIXED = "1"


class SignMethod(StrEnum):
    MD5 = "md5"
    HMAC = "hmac"
    HMAC_SHA256 = "hmac-sha256"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """How this hospital is known to the platform. ``ref_ent_id`` names who calls, ``ent_id`` who is on a bill."""

    app_key: str
    secret: str
    ref_ent_id: str
    ent_id: str
    sign_method: SignMethod = SignMethod.MD5


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform said. ``is_gateway``: the gateway turned it away, busy or misled."""

    is_success: bool
    is_gateway: bool = False
    code: str = ""
    cause: str = ""
    content: Mapping[str, Any] = {}


class PackInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A pack as the platform knows it. ``lot`` empty: not said, or several in one pack."""

    code: str
    parent: str = ""
    level: int = 0
    status: str = ""
    lot: str = ""


class BillState(StrEnum):
    """``deal_status`` of an uploaded bill."""

    UPLOADED = "0"
    PROCESSED = "3"
    FAILED = "4"


def signed(caller: Caller, method: str, content: Mapping[str, str], *, now: dt.datetime) -> dict[str, str]:
    """All parameters of a request. ``now`` in China's time, as the gateway wants it."""
    params = dict(content) | {
        "method": FAMILY + method,
        "app_key": caller.app_key,
        "timestamp": f"{now:%Y-%m-%d %H:%M:%S}",
        "format": "json",
        "v": "2.0",
        "sign_method": caller.sign_method.value,
    }
    return params | {"sign": sign(params, caller)}


def sign(params: Mapping[str, str], caller: Caller) -> str:
    text = "".join(name + value for name, value in sorted(params.items())).encode()
    key = caller.secret.encode()
    match caller.sign_method:
        case SignMethod.MD5:
            # The platform's choice: what it protects is a request over TLS.
            return hashlib.md5(key + text + key, usedforsecurity=False).hexdigest().upper()
        case SignMethod.HMAC:
            return hmac.new(key, text, "md5").hexdigest().upper()
        case SignMethod.HMAC_SHA256:
            return hmac.new(key, text, "sha256").hexdigest().upper()


def read_answer(body: bytes, method: str) -> Answer:
    """Raises ValueError for what is no answer of the platform: then nothing is known of the request."""
    answer = msgspec.json.decode(body)
    if not isinstance(answer, dict):
        raise ValueError("answer is no object")  # noqa: TRY004 -- one error for all answers that are none
    error = answer.get("error_response")
    if isinstance(error, dict):
        said = " ".join(str(error[name]) for name in ("msg", "sub_code", "sub_msg") if error.get(name))
        return Answer(is_success=False, is_gateway=True, code=str(error.get("code", "")), cause=said)
    content = answer.get(f"{(FAMILY + method).replace('.', '_')}_response")
    if not isinstance(content, dict):
        raise ValueError(f"answer without the response of {method}")  # noqa: TRY004 -- as above
    inner = content.get("result", content)
    inner = inner if isinstance(inner, dict) else {}
    # Some methods of the family call the flag ``success``.
    flag = inner.get("response_success", inner.get("success", False))
    cause = f"{inner.get('msg_code') or ''} {inner.get('msg_info') or ''}".strip()
    is_success = str(flag).lower() == "true"
    return Answer(is_success=is_success, code=str(inner.get("msg_code") or ""), cause=cause, content=inner)


def read_relation(answer: Answer) -> list[PackInfo]:
    """The pack that was asked for, and every pack inside it; nothing if the platform has none."""
    return [pack for row in _rows(answer.content.get("model_list")) for pack in _packs(row)]


def read_enterprise(answer: Answer) -> str:
    """``ent_id`` of the enterprise that was asked for; empty: none."""
    model = answer.content.get("model")
    return str(model.get("ent_id") or "") if isinstance(model, dict) else ""


def read_bill(answer: Answer, bill: str) -> tuple[BillState, str] | None:
    """How far a bill is, and what the platform says of it; None: it does not know the bill."""
    for row in _objects(answer.content):
        if str(row.get("bill_code", "")) == bill and str(row.get("deal_status")) in set(BillState):
            return BillState(str(row["deal_status"])), str(row.get("process_des") or "")
    return None


def _packs(row: Mapping[str, Any]) -> Iterator[PackInfo]:
    produced = [str(one.get("batch_no") or "") for one in _rows(row.get("produce_info_list"))]
    lot = produced[0] if len(set(produced)) == 1 and str(row.get("box_status", "0")) != _MIXED else ""
    for one in (row, *_rows(row.get("code_relation_list"))):
        level = str(one.get("code_pack_level") or "0")
        yield PackInfo(
            code=str(one.get("code") or ""),
            parent=str(one.get("parent_code") or ""),
            level=int(level) if level.isascii() and level.isdecimal() else 0,
            status=str(one.get("status") or ""),
            lot=lot,
        )


def _rows(value: Any) -> list[dict[str, Any]]:
    """A list, bare or wrapped by the name of its items."""
    if isinstance(value, dict):
        value = next((one for one in value.values() if isinstance(one, list)), [])
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from _objects(one)
    elif isinstance(value, list):
        for one in value:
            yield from _objects(one)
