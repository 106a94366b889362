"""What the insurer's interface demands of each field: length, shape, required or not (domain facts: FSI, 3505A, 3506A).

Messages are in Chinese, as the platform's own are.
"""

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

ZONE = dt.timezone(dt.timedelta(hours=8))
CLOCK_SKEW = dt.timedelta(minutes=10)
_MSGID_TIME = "%Y%m%d%H%M%S"
_MOMENT = "%Y-%m-%d %H:%M:%S"
_INSTITUTION = 12
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?")


class Shape(StrEnum):
    TEXT = "text"
    DATE = "date"
    MOMENT = "moment"
    COUNT = "count"


class Field(msgspec.Struct, frozen=True):
    """One field; ``length`` in characters. ``allowed`` empty: any text."""

    name: str
    length: int
    is_required: bool = False
    shape: Shape = Shape.TEXT
    allowed: tuple[str, ...] = ()


ENVELOPE = (
    Field("infno", 5, is_required=True),
    Field("msgid", 30, is_required=True),
    Field("mdtrtarea_admvs", 6, is_required=True),
    Field("insuplc_admdvs", 6),
    Field("recer_sys_code", 10, is_required=True),
    Field("dev_no", 100),
    Field("dev_safe_info", 2000),
    Field("cainfo", 1024),
    Field("signtype", 10),
    Field("infver", 6, is_required=True, allowed=("V1.0",)),
    Field("opter_type", 3, is_required=True, allowed=("1", "2", "3")),
    Field("opter", 30, is_required=True),
    Field("opter_name", 50, is_required=True),
    Field("inf_time", 19, is_required=True, shape=Shape.MOMENT),
    Field("fixmedins_code", 12, is_required=True),
    Field("fixmedins_name", 20, is_required=True),
    Field("sign_no", 30),
)

SALE = (
    Field("med_list_codg", 50, is_required=True),
    Field("fixmedins_hilist_id", 30, is_required=True),
    Field("fixmedins_hilist_name", 200, is_required=True),
    Field("fixmedins_bchno", 30, is_required=True),
    Field("prsc_dr_cert_type", 6),
    Field("prsc_dr_certno", 50),
    Field("prsc_dr_name", 50, is_required=True),
    Field("phar_cert_type", 6),
    Field("phar_certno", 50),
    Field("phar_name", 50),
    Field("phar_prac_cert_no", 50),
    Field("hi_feesetl_type", 6, is_required=True, allowed=("0", "1", "2")),
    Field("setl_id", 30),
    Field("mdtrt_sn", 30, is_required=True),
    Field("psn_no", 30),
    Field("psn_cert_type", 6, is_required=True),
    Field("certno", 600),
    Field("psn_name", 50),
    Field("manu_lotnum", 30, is_required=True),
    Field("manu_date", 10, is_required=True, shape=Shape.DATE),
    Field("expy_end", 10, shape=Shape.DATE),
    Field("rx_flag", 3, is_required=True, allowed=("0", "1")),
    Field("trdn_flag", 3, is_required=True, allowed=("0", "1")),
    Field("finl_trns_pric", 23, shape=Shape.TEXT),
    Field("rxno", 40),
    Field("rx_circ_flag", 3),
    Field("rtal_docno", 40, is_required=True),
    Field("stoout_no", 40),
    Field("bchno", 30),
    Field("drug_prod_barc", 30),
    Field("shelf_posi", 20),
    Field("sel_retn_cnt", 17, is_required=True, shape=Shape.COUNT),
    Field("sel_retn_time", 19, is_required=True, shape=Shape.MOMENT),
    Field("sel_retn_opter_name", 50, is_required=True),
    Field("memo", 500),
    Field("mdtrt_setl_type", 6, is_required=True, allowed=("1", "2")),
)
_NOT_OF_A_RETURN = {
    "prsc_dr_cert_type",
    "prsc_dr_certno",
    "prsc_dr_name",
    "phar_cert_type",
    "phar_certno",
    "phar_name",
    "phar_prac_cert_no",
    "hi_feesetl_type",
    "rxno",
    "rx_circ_flag",
    "rtal_docno",
    "stoout_no",
    "bchno",
    "drug_prod_barc",
    "shelf_posi",
    "mdtrt_setl_type",
}
RETURN = (
    *(field for field in SALE if field.name not in {*_NOT_OF_A_RETURN, "psn_cert_type"}),
    Field("psn_cert_type", 6),
    Field("medins_prod_sel_no", 50),
)
TRACE_CODE_LENGTH = 100


def fault_in(values: Mapping[str, object], fields: tuple[Field, ...]) -> str:
    """The first field that is not as the interface demands, empty if all are."""
    for field in fields:
        fault = _fault_of(values.get(field.name), field)
        if fault:
            return f"{field.name}：{fault}"
    return ""


def envelope_fault(request: Mapping[str, object], *, institution: str, now: dt.datetime) -> str:
    fault = fault_in(request, ENVELOPE)
    if fault:
        return fault
    if request["fixmedins_code"] != institution:
        return f"fixmedins_code：{request['fixmedins_code']} 未在本统筹区备案"
    if not isinstance(request.get("input"), dict):
        return "input：应为对象"
    sent = dt.datetime.strptime(str(request["inf_time"]), _MOMENT).replace(tzinfo=ZONE)
    if abs(now - sent) > CLOCK_SKEW:
        return f"inf_time：与平台时间相差超过{CLOCK_SKEW.seconds // 60}分钟"
    return _msgid_fault(str(request["msgid"]), institution)


def _msgid_fault(msgid: str, institution: str) -> str:
    """A message id is the institution (12), the time (14) and a sequence number (4)."""
    code, moment, sequence = msgid[:_INSTITUTION], msgid[_INSTITUTION:-4], msgid[-4:]
    if code != institution or not (sequence.isascii() and sequence.isdigit()) or not _is_moment(moment, _MSGID_TIME):
        return f"msgid：{msgid} 应为机构编号12位+yyyyMMddHHmmss+4位顺序号"
    return ""


def sale_fault(row: Mapping[str, object]) -> str:
    fault = fault_in(row, SALE)
    if fault:
        return fault
    if row["mdtrt_setl_type"] == "1" and not row.get("setl_id"):
        return "setl_id：医保结算时不能为空"
    return _trace_fault(row)


def return_fault(row: Mapping[str, object]) -> str:
    return fault_in(row, RETURN) or _trace_fault(row)


def _trace_fault(row: Mapping[str, object]) -> str:
    if not trace_codes(row):
        return f"drugtracinfo：应为追溯码列表，每个追溯码不超过{TRACE_CODE_LENGTH}个字符"
    return ""


def trace_codes(row: Mapping[str, object]) -> tuple[str, ...]:
    """Codes of ``drugtracinfo``; none if the node is not a list of objects with a code each."""
    node = row.get("drugtracinfo")
    if not isinstance(node, list):
        return ()
    codes = [entry.get("drug_trac_codg") if isinstance(entry, dict) else None for entry in node]
    texts = tuple(code for code in codes if isinstance(code, str) and 0 < len(code) <= TRACE_CODE_LENGTH)
    return texts if len(texts) == len(codes) else ()


def count_of(row: Mapping[str, object]) -> Decimal:
    return Decimal(str(row["sel_retn_cnt"]))


def unknown_fields(values: Mapping[str, object], fields: tuple[Field, ...], *nodes: str) -> list[str]:
    """Names the interface does not have: the platform takes no notice of them, and says so."""
    known = {field.name for field in fields} | set(nodes)
    return sorted(name for name in values if name not in known)


def _fault_of(value: object, field: Field) -> str:
    if value is None or value == "":
        return "不能为空" if field.is_required else ""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return f"类型错误（{type(value).__name__}）"
    text = str(value)
    if len(text) > field.length:
        return f"长度{len(text)}超过{field.length}"
    if field.allowed and text not in field.allowed:
        return f"值{text}不在字典中（{'、'.join(field.allowed)}）"
    return _shape_fault(text, field.shape)


def _shape_fault(text: str, shape: Shape) -> str:
    match shape:
        case Shape.DATE if not _is_moment(text, "%Y-%m-%d"):
            return f"日期{text}应为yyyy-MM-dd"
        case Shape.MOMENT if not _is_moment(text, _MOMENT):
            return f"时间{text}应为yyyy-MM-dd HH:mm:ss"
        case Shape.COUNT if not _NUMBER.fullmatch(text) or Decimal(text) <= 0:
            return f"数量{text}应为大于0的数，最多4位小数"
        case _:
            return ""


def _is_moment(text: str, layout: str) -> bool:
    """Whether it is written exactly so: strptime alone also takes 2026-1-5."""
    try:
        parsed = dt.datetime.strptime(text, layout).replace(tzinfo=ZONE)
    except ValueError:
        return False
    return parsed.strftime(layout) == text
