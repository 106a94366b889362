"""The insurer's own rules, over HTTP: what it takes, what it refuses, and its awkward ways of answering."""

import datetime as dt
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from hardware_sims.platforms.insurer import Gateway, Insurer, Trouble, seeded_troubles
from hardware_sims.platforms.insurer_fields import ZONE
from hardware_sims.platforms.serving import served

INSTITUTION = "H11010100001"
NOW = dt.datetime(2026, 11, 21, 9, 30, tzinfo=ZONE)
DRUG, BOX = "X00101B001010000101", "81001010000000000001"


def row(serial: str = "R1", **changes: object) -> dict[str, Any]:
    return {
        "med_list_codg": DRUG,
        "fixmedins_hilist_id": "YP000101",
        "fixmedins_hilist_name": "注射用头孢曲松钠",
        "fixmedins_bchno": serial,
        "prsc_dr_name": "周文斌",
        "hi_feesetl_type": "1",
        "setl_id": "S1",
        "mdtrt_sn": "ZY0001",
        "psn_cert_type": "01",
        "manu_lotnum": "L1",
        "manu_date": "2026-01-05",
        "expy_end": "2028-12-31",
        "rx_flag": "1",
        "trdn_flag": "1",
        "rtal_docno": "YZ000001",
        "sel_retn_cnt": "4",
        "sel_retn_time": "2026-11-21 09:29:00",
        "sel_retn_opter_name": "李晓燕",
        "mdtrt_setl_type": "1",
        "drugtracinfo": [{"drug_trac_codg": BOX}],
    } | changes


def sale(*rows: dict[str, Any], sequence: int = 1, **changes: object) -> dict[str, Any]:
    return {
        "infno": "3505A",
        "msgid": f"{INSTITUTION}20261121093000{sequence:04d}",
        "mdtrtarea_admvs": "110101",
        "insuplc_admdvs": "",
        "recer_sys_code": "FSI_LOCAL",
        "infver": "V1.0",
        "opter_type": "1",
        "opter": "yp01",
        "opter_name": "李晓燕",
        "inf_time": "2026-11-21 09:30:00",
        "fixmedins_code": INSTITUTION,
        "fixmedins_name": "示范医院",
        "input": {"selinfoDetail": list(rows)},
    } | changes


def back(serial: str = "T1", **changes: object) -> dict[str, Any]:
    names = ("prsc_dr_name", "hi_feesetl_type", "rtal_docno", "mdtrt_setl_type")
    return {name: value for name, value in row(serial).items() if name not in names} | changes


def giving_back(*rows: dict[str, Any], sequence: int = 1) -> dict[str, Any]:
    return sale(*rows, sequence=sequence, infno="3506A")


def cause_of(answer: dict[str, Any]) -> str:
    """Empty: taken."""
    result = answer["output"]["result"]
    return "" if result["retRslt"] == "1" else str(result["msgRslt"])


class Client:
    def __init__(self, url: str, insurer: Insurer, http: aiohttp.ClientSession) -> None:
        self.insurer = insurer
        self._url = url
        self._http = http

    async def post(self, request: object, headers: dict[str, str] | None = None) -> dict[str, Any]:
        async with self._http.post(f"{self._url}/fsi/api/3505A", json=request, headers=headers or {}) as answer:
            assert answer.status == 200
            return dict(await answer.json())

    async def status(self, request: object, headers: dict[str, str] | None = None) -> int:
        async with self._http.post(self._url, json=request, headers=headers or {}) as answer:
            return answer.status


@pytest.fixture
def insurer() -> Insurer:
    return Insurer(institution=INSTITUTION, contents={DRUG: 10}, now=lambda: NOW)


@pytest.fixture
async def client(insurer: Insurer) -> AsyncIterator[Client]:
    async with served(insurer.application()) as url, aiohttp.ClientSession() as http:
        yield Client(url, insurer, http)


async def test_takes_a_sale_and_finds_it_again(client: Client) -> None:
    answer = await client.post(sale(row()))
    assert (answer["infcode"], answer["output"]["result"]["retRslt"]) == (0, "1")
    query = sale(sequence=2, infno="3590", input={"data": {"fixmedins_bchno": "R1"}})
    found = await client.post(query)
    assert [one["fixmedins_bchno"] for one in found["output"]["selinfoDetail"]] == ["R1"]
    unknown = await client.post(
        query | {"msgid": query["msgid"][:-1] + "9", "input": {"data": {"fixmedins_bchno": "R2"}}}
    )
    assert unknown["output"]["selinfoDetail"] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"infver": None}, "infver"),
        ({"recer_sys_code": "x" * 11}, "recer_sys_code"),
        ({"opter_type": "7"}, "opter_type"),
        ({"inf_time": "2026-11-21T09:30:00"}, "inf_time"),
        ({"inf_time": "2026-11-21 08:00:00"}, "inf_time"),
        ({"fixmedins_code": "H99999999999"}, "fixmedins_code"),
        ({"msgid": "H1101010000120261121093000"}, "msgid"),
        ({"msgid": "H11010100001202611210930001234x"}, "msgid"),
        ({"msgid": "H11010100001202613210930000001"}, "msgid"),
        ({"input": [row()]}, "input"),
        ({"infno": "9999"}, "infno"),
    ],
)
async def test_names_what_is_wrong_in_the_envelope(client: Client, change: dict[str, Any], named: str) -> None:
    answer = await client.post(sale(row(), **change))
    assert answer["infcode"] == -1
    assert answer["err_msg"].startswith(named)
    assert client.insurer.counter.accepted == {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"manu_lotnum": ""}, "manu_lotnum"),
        ({"manu_date": "2026-1-5"}, "manu_date"),
        ({"expy_end": "2028-02-30"}, "expy_end"),
        ({"trdn_flag": "2"}, "trdn_flag"),
        ({"sel_retn_cnt": "0"}, "sel_retn_cnt"),
        ({"sel_retn_cnt": "1.00001"}, "sel_retn_cnt"),
        ({"fixmedins_hilist_name": "长" * 201}, "fixmedins_hilist_name"),
        ({"setl_id": ""}, "setl_id"),
        ({"drugtracinfo": {"drug_trac_codg": BOX}}, "drugtracinfo"),
        ({"drugtracinfo": [{"drug_trac_code": BOX}]}, "drugtracinfo"),
        ({"drugtracinfo": [{"drug_trac_codg": "8" * 101}]}, "drugtracinfo"),
        ({"med_list_codg": "X0"}, "med_list_codg"),
        ({"rx_flag": True}, "rx_flag"),
    ],
)
async def test_refuses_a_row_by_name(client: Client, change: dict[str, Any], named: str) -> None:
    answer = await client.post(sale(row(**change)))
    assert answer["output"]["result"]["retRslt"] == "0"
    assert answer["output"]["result"]["msgRslt"].startswith(named)


async def test_refuses_part_of_a_batch_and_lists_it(client: Client) -> None:
    answer = await client.post(sale(row("R1"), row("R2", manu_lotnum="")))
    assert answer["output"]["result"]["retRslt"] == "1"
    (refused,) = answer["output"]["selinfoErrDetail"]
    assert (refused["fixmedins_bchno"], refused["retRslt"]) == ("R2", "0")
    assert list(client.insurer.counter.accepted) == ["R1"]


async def test_never_takes_more_units_than_a_box_holds(client: Client) -> None:
    await client.post(sale(row("R1", sel_retn_cnt="6")))
    answer = await client.post(sale(row("R2", sel_retn_cnt="5"), sequence=2))
    assert "超过包装数量10" in answer["output"]["result"]["msgRslt"]
    answer = await client.post(sale(row("R3", sel_retn_cnt="4"), sequence=3))
    assert answer["output"]["result"]["retRslt"] == "1"


async def test_takes_a_whole_box_once(client: Client) -> None:
    whole = {"trdn_flag": "0", "sel_retn_cnt": "1"}
    await client.post(sale(row("R1", **whole)))
    again = await client.post(sale(row("R2", **whole), sequence=2))
    assert "重复追溯码" in again["output"]["result"]["msgRslt"]
    split = await client.post(sale(row("R3"), sequence=3))
    assert "重复追溯码" in split["output"]["result"]["msgRslt"]
    two = await client.post(sale(row("R4", **(whole | {"sel_retn_cnt": "2"})), sequence=4))
    assert "重复追溯码" in two["output"]["result"]["msgRslt"]


async def test_the_same_serial_or_message_again_is_a_duplicate(client: Client) -> None:
    await client.post(sale(row("R1")))
    serial = await client.post(sale(row("R1"), sequence=2))
    assert "重复上传" in serial["output"]["result"]["msgRslt"]
    message = await client.post(sale(row("R2")))
    assert (message["infcode"], "重复" in message["err_msg"]) == (-1, True)


async def test_what_comes_back_is_taken_off_and_may_be_sold_again(client: Client) -> None:
    await client.post(sale(row("R1", sel_retn_cnt="10")))
    assert (
        cause_of(await client.post(giving_back(back("T1", sel_retn_cnt="4", medins_prod_sel_no="R1"), sequence=2)))
        == ""
    )
    assert "超过包装数量10" in cause_of(await client.post(sale(row("R2", sel_retn_cnt="5"), sequence=3)))
    assert cause_of(await client.post(sale(row("R3", sel_retn_cnt="4"), sequence=4))) == ""
    assert sum(each.share for each in client.insurer.counter.accepted.values()) == 10
    assert client.insurer.warnings == []
    query = sale(sequence=5, infno="3590", input={"data": {"fixmedins_bchno": "T1"}})
    found = await client.post(query)
    assert [one["fixmedins_bchno"] for one in found["output"]["selinfoDetail"]] == ["T1"]


async def test_a_whole_box_comes_back_once_and_goes_out_again(client: Client) -> None:
    whole = {"trdn_flag": "0", "sel_retn_cnt": "1"}
    await client.post(sale(row("R1", **whole)))
    assert cause_of(await client.post(giving_back(back("T1", **whole), sequence=2))) == ""
    assert "没有可退" in cause_of(await client.post(giving_back(back("T2", **whole), sequence=3)))
    assert cause_of(await client.post(sale(row("R2", **whole), sequence=4))) == ""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"med_list_codg": ""}, "med_list_codg"),
        ({"mdtrt_sn": ""}, "mdtrt_sn"),
        ({"manu_date": "2026-1-5"}, "manu_date"),
        ({"sel_retn_cnt": "0"}, "sel_retn_cnt"),
        ({"sel_retn_opter_name": ""}, "sel_retn_opter_name"),
        ({"drugtracinfo": []}, "drugtracinfo"),
        ({"sel_retn_cnt": "5"}, "sel_retn_cnt"),
        ({"mdtrt_sn": "ZY0002"}, "drug_trac_codg"),
        ({"drugtracinfo": [{"drug_trac_codg": "81001010000000000002"}]}, "drug_trac_codg"),
        ({"trdn_flag": "0", "sel_retn_cnt": "1"}, "drug_trac_codg"),
        ({"medins_prod_sel_no": "R9"}, "medins_prod_sel_no"),
        ({"medins_prod_sel_no": "R1", "med_list_codg": "X0"}, "medins_prod_sel_no"),
        ({"fixmedins_bchno": "R1"}, "fixmedins_bchno"),
    ],
)
async def test_refuses_a_return_by_name(client: Client, change: dict[str, Any], named: str) -> None:
    await client.post(sale(row("R1")))
    cause = cause_of(await client.post(giving_back(back(**change), sequence=2)))
    assert cause.startswith(named)
    assert list(client.insurer.counter.accepted) == ["R1"]


async def test_no_more_comes_back_than_was_sold_by_the_sale_that_is_named(client: Client) -> None:
    await client.post(sale(row("R1"), row("R2")))
    first = await client.post(giving_back(back("T1", sel_retn_cnt="3", medins_prod_sel_no="R1"), sequence=2))
    assert cause_of(first) == ""
    again = await client.post(giving_back(back("T2", sel_retn_cnt="2", medins_prod_sel_no="R1"), sequence=3))
    assert "未退1" in cause_of(again)
    assert "重复上传" in cause_of(await client.post(giving_back(back("T1", sel_retn_cnt="1"), sequence=4)))


async def test_a_return_meets_troubles_too() -> None:
    troubles = {2: Trouble.SYSTEM_ERROR}
    insurer = Insurer(institution=INSTITUTION, contents={DRUG: 10}, now=lambda: NOW, troubles=troubles)
    async with served(insurer.application()) as url, aiohttp.ClientSession() as http:
        client = Client(url, insurer, http)
        await client.post(sale(row("R1")))
        assert (await client.post(giving_back(back("T1"), sequence=2)))["infcode"] == -1
        assert insurer.has_met_all


async def test_takes_the_batch_and_never_answers(insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware_sims.platforms.insurer.HELD_S", 0.01)
    insurer = Insurer(
        institution=INSTITUTION, contents={DRUG: 10}, now=lambda: NOW, troubles={1: Trouble.TIMEOUT_AFTER_COMMIT}
    )
    async with served(insurer.application()) as url, aiohttp.ClientSession() as http:
        client = Client(url, insurer, http)
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.post(sale(row("R1")))
        assert list(insurer.counter.accepted) == ["R1"]
        assert insurer.has_met_all


async def test_answers_output_as_text_and_turns_away_once() -> None:
    troubles = {1: Trouble.UNAUTHORIZED, 2: Trouble.OUTPUT_AS_TEXT, 3: Trouble.SYSTEM_ERROR}
    insurer = Insurer(institution=INSTITUTION, contents={DRUG: 10}, now=lambda: NOW, troubles=troubles)
    async with served(insurer.application()) as url, aiohttp.ClientSession() as http:
        client = Client(url, insurer, http)
        assert await client.status(sale(row("R1"))) == 401
        text = (await client.post(sale(row("R1"))))["output"]
        assert isinstance(text, str)
        assert json.loads(text)["result"]["retRslt"] == "1"
        assert (await client.post(sale(row("R2"), sequence=2)))["infcode"] == -1
        assert list(insurer.counter.accepted) == ["R1"]


async def test_checks_the_gateway_signature() -> None:
    gateway = Gateway(paasid="hospital", token="EXAMPLETOKEN")
    insurer = Insurer(institution=INSTITUTION, contents={DRUG: 10}, now=lambda: NOW, gateway=gateway)
    stamp = str(int(NOW.timestamp()))
    signature = hashlib.sha256(f"{stamp}EXAMPLETOKENn1{stamp}".encode()).hexdigest().upper()
    headers = {"x-tif-paasid": "hospital", "x-tif-timestamp": stamp, "x-tif-nonce": "n1"}
    async with served(insurer.application()) as url, aiohttp.ClientSession() as http:
        client = Client(url, insurer, http)
        assert await client.status(sale(row())) == 401
        assert await client.status(sale(row()), headers | {"x-tif-signature": "0" * 64}) == 401
        assert (await client.post(sale(row()), headers | {"x-tif-signature": signature}))["infcode"] == 0


async def test_says_what_fields_it_does_not_know(client: Client) -> None:
    await client.post(sale(row(sub_code="81...#001")))
    assert any(warning.startswith("sub_code") for warning in client.insurer.warnings)


async def test_is_not_upset_by_what_is_no_message(client: Client) -> None:
    nonsense: tuple[object, ...] = ([], "text", 7, None)
    for content in nonsense:
        assert (await client.post(content))["infcode"] == -1


def test_the_same_seed_plans_the_same_troubles() -> None:
    assert seeded_troubles(7) == seeded_troubles(7)
    assert len(seeded_troubles(7)) == 4
    assert len({tuple(seeded_troubles(seed).items()) for seed in range(20)}) > 1
