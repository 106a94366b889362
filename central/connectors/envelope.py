"""Messages of the national insurance platform (FSI, domain facts): envelope, sales rows 3505A, answers.

What a row of 3505A says and where it comes from. Optional fields of the interface that are not here are left out.

============================  ==========================================================================================
field                         source
============================  ==========================================================================================
med_list_codg                 product.insurance_code
fixmedins_hilist_id           product.hospital_code, else product.id
fixmedins_hilist_name         product.name
fixmedins_bchno               ledger id and number of the queue's row: never the same for two rows of any ledger
prsc_dr_name                  order.prescriber
phar_name                     the person of the dispensing fact, else [insurer] operator
hi_feesetl_type               [insurer] fee_type; "0": the settlement is not this system's
mdtrt_sn                      order.visit
psn_cert_type, certno         [insurer] certificate_type ("99", other), order.patient: a pseudonym
manu_lotnum                   item.lot
manu_date, expy_end           item.made, item.expiry
rx_flag                       product.is_prescription
trdn_flag                     "1" for units of a split box, "0" for a whole box
finl_trns_pric                product.box_price, divided by product.units for units
rtal_docno, rxno              order.id
sel_retn_cnt                  units of the box in this fact, or 1 box
sel_retn_time                 when the fact was recorded, hospital time
sel_retn_opter_name           as phar_name
mdtrt_setl_type               [insurer] settlement_type ("2": no settlement number is known here)
drugtracinfo                  the box code; sub-codes never leave the hospital
============================  ==========================================================================================
"""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from central.connectors.queue import Sale
from sync_protocol.documents import Product

SALES = "3505A"
_SERIAL = 24
MAX_SEQUENCE = 9_999
_LENGTHS = {
    "med_list_codg": 50,
    "fixmedins_hilist_id": 30,
    "fixmedins_hilist_name": 200,
    "prsc_dr_name": 50,
    "mdtrt_sn": 30,
    "manu_lotnum": 30,
    "manu_date": 10,
    "rtal_docno": 40,
    "sel_retn_opter_name": 50,
}
"""Fields that may not be empty or longer, and come from outside."""
_ADVICE = {
    "med_list_codg": "give the product its insurance_code",
    "prsc_dr_name": "send the order with its prescriber",
    "mdtrt_sn": "send the order with its visit",
    "manu_date": "announce the lot with its date of manufacture",
    "rtal_docno": "bind what was dispensed to an order",
}
_PRICE = Decimal("0.000001")
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


def serial_of(sale: Sale) -> str:
    """``fixmedins_bchno`` of a row (C30), the same at every attempt, also after the ledger was restored.

    It is made of what the row reports: a row number of a restored ledger may name another sale.
    """
    return hashlib.sha256(sale.fact_hash + sale.box.encode()).hexdigest()[:_SERIAL]


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


def sale_row(institution: Institution, sale: Sale, *, serial: str, at: dt.datetime) -> dict[str, Any]:
    """The row of the table above; numbers as text. ``sale.product`` must be known."""
    product = sale.product
    assert product is not None, "gaps() names a row without product"
    person = sale.operator or institution.operator
    return {
        "med_list_codg": product.insurance_code,
        "fixmedins_hilist_id": product.hospital_code or product.id,
        "fixmedins_hilist_name": product.name,
        "fixmedins_bchno": serial,
        "prsc_dr_name": sale.prescriber,
        "phar_name": person,
        "hi_feesetl_type": institution.fee_type,
        "mdtrt_sn": sale.visit,
        "psn_cert_type": institution.certificate_type,
        "certno": sale.patient,
        "manu_lotnum": sale.lot,
        "manu_date": sale.made,
        "expy_end": sale.expiry,
        "rx_flag": "1" if product.is_prescription else "0",
        "trdn_flag": "1" if sale.is_split else "0",
        "finl_trns_pric": _price(product, is_split=sale.is_split),
        "rxno": sale.order,
        "rtal_docno": sale.order,
        "sel_retn_cnt": str(sale.quantity),
        "sel_retn_time": f"{at:%Y-%m-%d %H:%M:%S}",
        "sel_retn_opter_name": person,
        "mdtrt_setl_type": institution.settlement_type,
        "drugtracinfo": [{"drug_trac_codg": sale.box}],
    }


def gap(sale: Sale, row: Mapping[str, Any] | None) -> str:
    """The first thing that the platform demands and the ledger does not have; empty if the row is complete."""
    if row is None:
        return f"product: box {sale.box} is of no product in the catalogue; send the product"
    for field, length in _LENGTHS.items():
        value = row[field]
        if not value:
            return f"{field}: found nothing, expected a value; {_ADVICE.get(field, 'complete the master data')}"
        if len(value) > length:
            return f"{field}: found {len(value)} characters, expected at most {length}; shorten it at its source"
    return ""


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


def _price(product: Product, *, is_split: bool) -> str:
    price = Decimal(product.box_price)
    return str((price / product.units if is_split else price).quantize(_PRICE))


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")  # noqa: TRY004 -- one error for all answers that are none
    return value


def _rows(value: Any) -> list[dict[str, Any]]:
    """One object or a list of them: platforms send both."""
    rows = [value] if isinstance(value, dict) else value
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
