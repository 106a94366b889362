"""The code platform's messages against vectors that were computed by another hand, and answers of both nestings."""

import datetime as dt
import json
from typing import Any

import pytest

from central.connectors.top import (
    BillState,
    Caller,
    PackInfo,
    SignMethod,
    read_answer,
    read_bill,
    read_relation,
    signed,
)
from hardware_sims.platforms import msfx

VECTORS = {
    SignMethod.MD5: "3302CEC38CC26ED202A2530E1552109D",
    SignMethod.HMAC: "181BB6716BBF4097D364F0071AC9C58A",
    SignMethod.HMAC_SHA256: "DF636325DB1C769AC2D1EFB1932351876DE66447C408D7BD0193CF00F3BD5F4B",
}
CONTENT = {"code": "81000000000000000001", "des_ref_ent_id": "REF0001", "ref_ent_id": "REF0001"}
INSIDE = {"code": "81", "parent_code": "83", "code_level": "3", "code_pack_level": "1"}
RELATION: dict[str, Any] = {
    "code": "83", "parent_code": "", "code_level": "1", "code_pack_level": "3", "status": "A", "box_status": 0,
    "code_relation_list": {"code_info": [INSIDE]},
    "produce_info_list": {"produce_info_dto": [{"batch_no": "L1"}]},
}  # fmt: skip


def answered(method: str, content: object) -> bytes:
    return json.dumps({f"alibaba_alihealth_drugtrace_top_yljg_{method.replace('.', '_')}_response": content}).encode()


@pytest.mark.parametrize("method", SignMethod)
def test_the_signature_is_that_of_the_published_rule(method: SignMethod) -> None:
    caller = Caller(app_key="12129701", secret="helloworld", ref_ent_id="REF0001", ent_id="E1", sign_method=method)
    params = signed(caller, "query.relation", CONTENT, now=dt.datetime(2026, 1, 5, 8, tzinfo=msfx.ZONE))
    assert params["sign"] == VECTORS[method]
    assert msfx.sign(params, "helloworld") == VECTORS[method]


@pytest.mark.parametrize("rows", [[RELATION | {"code_relation_list": [INSIDE]}], {"code_relation_dto": [RELATION]}])
def test_a_relation_is_read_in_both_nestings_by_the_level_that_counts_from_the_box(rows: object) -> None:
    content = {"result": {"response_success": True, "model_list": rows}}
    answer = read_answer(answered("query.relation", content), "query.relation")
    assert answer.is_success
    assert read_relation(answer) == [
        PackInfo(code="83", level=3, status="A", lot="L1"),
        PackInfo(code="81", parent="83", level=1, lot="L1"),
    ]


def test_a_pack_of_mixed_lots_says_none() -> None:
    content = {"result": {"response_success": "true", "model_list": [RELATION | {"box_status": 1}]}}
    answer = read_answer(answered("query.relation", content), "query.relation")
    assert {pack.lot for pack in read_relation(answer)} == {""}


def test_an_error_of_the_gateway_says_what_and_why() -> None:
    said = {"error_response": {"code": 25, "msg": "Invalid signature", "sub_msg": "签名错误"}}
    answer = read_answer(json.dumps(said).encode(), "query.relation")
    assert (answer.is_success, answer.is_gateway, answer.code, answer.cause) == (
        False, True, "25", "Invalid signature 签名错误",
    )  # fmt: skip


def test_a_bill_is_found_wherever_its_row_stands() -> None:
    content = {"result": {"success": True, "model": {"rows": {"dto": [{"bill_code": "B", "deal_status": 4}]}}}}
    answer = read_answer(answered("query.billstatus", content), "query.billstatus")
    assert read_bill(answer, "B") == (BillState.FAILED, "")
    assert read_bill(answer, "C") is None


@pytest.mark.parametrize("body", [b"[]", b"<html>", b'{"other_response": {}}'])
def test_what_is_no_answer_is_no_answer(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- msgspec's own error is one, too
        read_answer(body, "query.relation")
