"""Rows of sales (3505A) and of returns from patients (3506A): what each says and where it comes from.

Optional fields of the interface that are not here are left out. Both lists stand in the node ``selinfoDetail``.

============================  =======  ===============================================================================
field                         in       source
============================  =======  ===============================================================================
med_list_codg                 both     product.insurance_code
fixmedins_hilist_id           both     product.hospital_code, else product.id
fixmedins_hilist_name         both     product.name
fixmedins_bchno               both     made of the fact and the box: never the same for two rows of any ledger
prsc_dr_name                  3505A    order.prescriber
phar_name                     3505A    the person of the dispensing fact, else [insurer] operator
hi_feesetl_type               3505A    [insurer] fee_type; "0": the settlement is not this system's
mdtrt_sn                      both     order.visit
psn_cert_type, certno         both     [insurer] certificate_type ("99", other), order.patient: a pseudonym
manu_lotnum                   both     item.lot
manu_date, expy_end           both     item.made, item.expiry
rx_flag                       both     product.is_prescription
trdn_flag                     both     "1" for units of a split box, "0" for a whole box
finl_trns_pric                both     product.box_price, divided by product.units for units
rtal_docno, rxno              3505A    order.id
medins_prod_sel_no            3506A    fixmedins_bchno of its sale; left out if it was sold in several facts
sel_retn_cnt                  both     units of the box in this fact, or 1 box
sel_retn_time                 both     when the fact was recorded, hospital time
sel_retn_opter_name           both     the person of the fact, else [insurer] operator
mdtrt_setl_type               3505A    [insurer] settlement_type ("2": no settlement number is known here)
drugtracinfo                  both     the box code; sub-codes never leave the hospital
============================  =======  ===============================================================================
"""

import datetime as dt
import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from central.connectors.envelope import Institution
from central.connectors.queue import Sale
from sync_protocol.documents import Product

SALES = "3505A"
RETURNS = "3506A"
_SERIAL = 24
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
"""Fields that may not be empty or longer where a row has them, and come from outside."""
_ADVICE = {
    "med_list_codg": "give the product its insurance_code",
    "prsc_dr_name": "send the order with its prescriber",
    "mdtrt_sn": "send the order with its visit",
    "manu_date": "announce the lot with its date of manufacture",
    "rtal_docno": "bind what was dispensed to an order",
}
_PRICE = Decimal("0.000001")


def infno_of(sale: Sale) -> str:
    return RETURNS if sale.is_return else SALES


def serial_of(sale: Sale) -> str:
    """``fixmedins_bchno`` of a row (C30), the same at every attempt, also after the ledger was restored.

    It is made of what the row reports: a row number of a restored ledger may name another sale.
    """
    return _serial(sale.fact_hash, sale.box)


def row_of(institution: Institution, sale: Sale, *, at: dt.datetime) -> dict[str, Any] | None:
    """The row of the table above; numbers as text. ``at``: when its fact was recorded. None: product unknown."""
    product = sale.product
    if product is None:
        return None
    row = _common(institution, sale, product, at)
    return row | (_of_return(sale) if sale.is_return else _of_sale(institution, sale))


def gap(sale: Sale, row: Mapping[str, Any] | None) -> str:
    """The first thing that the platform demands and the ledger does not have; empty if the row is complete."""
    if row is None:
        return f"product: box {sale.box} is of no product in the catalogue; send the product"
    for field, length in _LENGTHS.items():
        if field not in row:
            continue
        value = row[field]
        if not value:
            return f"{field}: found nothing, expected a value; {_ADVICE.get(field, 'complete the master data')}"
        if len(value) > length:
            return f"{field}: found {len(value)} characters, expected at most {length}; shorten it at its source"
    return ""


def _common(institution: Institution, sale: Sale, product: Product, at: dt.datetime) -> dict[str, Any]:
    return {
        "med_list_codg": product.insurance_code,
        "fixmedins_hilist_id": product.hospital_code or product.id,
        "fixmedins_hilist_name": product.name,
        "fixmedins_bchno": serial_of(sale),
        "mdtrt_sn": sale.visit,
        "psn_cert_type": institution.certificate_type,
        "certno": sale.patient,
        "manu_lotnum": sale.lot,
        "manu_date": sale.made,
        "expy_end": sale.expiry,
        "rx_flag": "1" if product.is_prescription else "0",
        "trdn_flag": "1" if sale.is_split else "0",
        "finl_trns_pric": _price(product, is_split=sale.is_split),
        "sel_retn_cnt": str(sale.quantity),
        "sel_retn_time": f"{at:%Y-%m-%d %H:%M:%S}",
        "sel_retn_opter_name": sale.operator or institution.operator,
        "drugtracinfo": [{"drug_trac_codg": sale.box}],
    }


def _of_sale(institution: Institution, sale: Sale) -> dict[str, Any]:
    return {
        "prsc_dr_name": sale.prescriber,
        "phar_name": sale.operator or institution.operator,
        "hi_feesetl_type": institution.fee_type,
        "rxno": sale.order,
        "rtal_docno": sale.order,
        "mdtrt_setl_type": institution.settlement_type,
    }


def _of_return(sale: Sale) -> dict[str, Any]:
    return {"medins_prod_sel_no": _serial(sale.sold_hash, sale.box)} if sale.sold_hash else {}


def _serial(fact_hash: bytes, box: str) -> str:
    return hashlib.sha256(fact_hash + box.encode()).hexdigest()[:_SERIAL]


def _price(product: Product, *, is_split: bool) -> str:
    price = Decimal(product.box_price)
    return str((price / product.units if is_split else price).quantize(_PRICE))
