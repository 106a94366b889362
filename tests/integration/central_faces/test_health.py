import re
import time

import aiohttp
import msgspec

from central.api.documents import Codes
from central.stock.services import Condition
from sync_protocol.facts import What
from tests.integration.central_faces.hospital import SPLIT, Hospital, box


async def test_healthz_names_the_part_that_is_not_well(hospital: Hospital, stranger: aiohttp.ClientSession) -> None:
    async with stranger.get("/healthz") as response:
        assert response.status == 200
        health = await response.json()
    assert (health["status"], [part["part"] for part in health["parts"]]) == ("ok", ["ledger", "broker"])
    hospital.conditions = (Condition(part="ledger"), Condition(part="broker", cause="refused", advice="start it"))
    async with stranger.get("/healthz") as response:
        assert response.status == 503
        health = await response.json()
    assert health["status"] == "degraded"
    assert health["parts"][1] == {"part": "broker", "cause": "refused", "advice": "start it"}


async def test_metrics_tell_the_levels_of_the_ledger(hospital: Hospital, stranger: aiohttp.ClientSession) -> None:
    await hospital.stock()
    hospital.record("station-2", hospital.fact(What.PRESCANNED, box(0), units=7))
    codes = tuple(f"{box(0)}#00{n}" for n in range(1, 4))
    hospital.record("station-2", hospital.fact(What.DISPENSED, *codes, order="o-1", how="late_scan"))
    async with stranger.get("/metrics") as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        text = await response.text()
    values = dict(re.findall(r"^(codepool_\S+) (\S+)$", text, re.MULTILINE))
    assert float(values["codepool_ledger_version"]) == hospital.ledger.version
    assert float(values["codepool_facts_ingested"]) == 5
    assert float(values["codepool_exceptions_open"]) == 1
    assert float(values['codepool_insurer_rows{state="waiting"}']) == 1
    assert float(values['codepool_insurer_rows{state="refused"}']) == 0
    assert float(values['codepool_part_up{part="broker"}']) == 1
    assert float(values["codepool_commit_seconds_count"]) == hospital.ledger.version
    assert 0 < float(values["codepool_commit_seconds_sum"]) < 10
    hospital.conditions = (Condition(part="broker", cause="refused"),)
    async with stranger.get("/metrics") as response:
        assert 'codepool_part_up{part="broker"} 0.0' in await response.text()


async def test_pages_keep_their_pace_with_a_hundred_thousand_codes(
    hospital: Hospital, nurse: aiohttp.ClientSession, reader: aiohttp.ClientSession
) -> None:
    columns = "code, kind, product, lot, expiry, state, location, version"
    rows = [
        (f"8100001{n:013d}", "box", SPLIT.id if n % 3 else "P-INS", f"L{n % 50}", "2027-03-31", "in_stock", "store", 1)
        for n in range(1_000, 101_000)
    ]
    insert = f"INSERT INTO item ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    hospital.ledger.write(lambda connection: connection.executemany(insert, rows).rowcount)
    last = rows[-50][0]
    for url in ("/pool", f"/pool?after={last}", "/pool?lot=L7&location=store", "/pool?code=99999"):
        began = time.process_time()
        async with nurse.get(url) as response:
            assert response.status == 200
            await response.read()
        assert time.process_time() - began < 2.0, url
    began = time.process_time()
    async with reader.get("/api/v1/items", params={"after": last, "limit": "100"}) as response:
        assert len((await response.json())["items"]) == 49
    assert time.process_time() - began < 0.5


def test_a_list_of_codes_is_bounded_as_a_fact_is() -> None:
    assert len(msgspec.convert([str(n) for n in range(2_000)], Codes)) == 2_000
