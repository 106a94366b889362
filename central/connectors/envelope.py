"""Messages of the national insurance platform (FSI, domain facts): envelope, signature of the gateway, answers."""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MAX_SEQUENCE = 9_999
_NAME = re.compile(r".*ErrDetail", re.IGNORECASE)


class Institution(msgspec.Struct, frozen=True, kw_only=True):
    """How this hospital signs its messages; every province sets it otherwise."""

    code: str
    name: str = ""
    region: str = ""
    """``mdtrtarea_admvs``, the six digits of the place."""
    receiver: str = "FSI_LOCAL"
    operator: str = "codepool"
    fee_type: str = "0"
    settlement_type: str = "2"
    certificate_type: str = "99"
    paasid: str = ""
    token: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform said. ``is_taken``: both levels of judgement said yes to the request as a whole.

    ``is_business``: the gateway passed it and the platform judged the rows. ``refused``: cause by serial number.
    """

    is_taken: bool
    is_business: bool
    cause: str = ""
    refused: dict[str, str] = {}
    rows: tuple[dict[str, Any], ...] = ()


def msgid_of(institution: Institution, now: dt.datetime, sequence: int) -> str:
    """Institution (12), time (14), sequence (4)."""
    return f"{institution.code}{now:%Y%m%d%H%M%S}{sequence % (MAX_SEQUENCE + 1):04d}"


def envelope(
    institution: Institution, *, infno: str, msgid: str, now: dt.datetime, content: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "infno": infno,
        "msgid": msgid,
        "mdtrtarea_admvs": institution.region,
        "insuplc_admdvs": "",
        "recer_sys_code": institution.receiver,
        "dev_no": "",
        "dev_safe_info": "",
        "cainfo": "",
        "signtype": "",
        "infver": "V1.0",
        "opter_type": "1",
        "opter": institution.operator,
        "opter_name": institution.operator,
        "inf_time": f"{now:%Y-%m-%d %H:%M:%S}",
        "fixmedins_code": institution.code,
        "fixmedins_name": institution.name,
        "sign_no": "",
        "input": content,
    }


def sign(institution: Institution, *, timestamp: int, nonce: str) -> dict[str, str]:
    """Headers of the TIF gateway; none without a token."""
    if not institution.token:
        return {}
    signed = f"{timestamp}{institution.token}{nonce}{timestamp}".encode()
    return {
        "x-tif-paasid": institution.paasid,
        "x-tif-timestamp": str(timestamp),
        "x-tif-nonce": nonce,
        "x-tif-signature": hashlib.sha256(signed).hexdigest().upper(),
    }


def read_answer(body: bytes) -> Answer:
    """Raises ValueError for what is no answer of the platform: then nothing is known of the request."""
    answer = _object(msgspec.json.decode(body), "answer")
    if "infcode" not in answer:
        raise ValueError("answer without infcode")
    if str(answer["infcode"]) != "0":
        return Answer(is_taken=False, is_business=False, cause=str(answer.get("err_msg") or "no err_msg"))
    output = answer.get("output")
    # Some gateways send the output as text.
    output = _object(msgspec.json.decode(output) if isinstance(output, str) else output or {}, "output")
    result = output.get("result")
    result = result if isinstance(result, dict) else {}
    return Answer(
        is_taken=str(result.get("retRslt", "1")) == "1",
        is_business=True,
        cause=str(result.get("msgRslt") or ""),
        refused={
            str(row.get("fixmedins_bchno", "")): str(
                row.get("msgRslt") or row.get("err_msg") or "refused without cause"
            )
            for name, rows in output.items()
            if _NAME.fullmatch(name)
            for row in _rows(rows)
        },
        rows=tuple(_rows(output.get("selinfoDetail"))),
    )


def serials_in(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    return {str(row.get("fixmedins_bchno", "")) for row in rows}


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")  # noqa: TRY004 -- one error for all answers that are none
    return value


def _rows(value: Any) -> list[dict[str, Any]]:
    """One object or a list of them: platforms send both."""
    rows = [value] if isinstance(value, dict) else value
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
