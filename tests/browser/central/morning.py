"""A ledger with something of everything, for pages that are looked at."""

import datetime as dt

from central.ledger import statements
from central.stock.services import Condition
from sync_protocol.documents import (
    DeliveryNote,
    NoteLine,
    NoteState,
    Order,
    OrderKind,
    OrderState,
    Product,
    Route,
)
from sync_protocol.epc import encode_piece
from sync_protocol.facts import How, What
from sync_protocol.items import Kind
from tests.integration.central_faces.hospital import PEOPLE, PIECE, SPLIT, Hospital, box

_NAMES = (
    ("P-ASP", "阿司匹林肠溶片", "Aspirin enteric-coated tablets", "100mg×30片", 30),
    ("P-MET", "盐酸二甲双胍缓释片", "Metformin extended-release tablets", "0.5g×20片", 20),
    ("P-ATO", "阿托伐他汀钙片", "Atorvastatin calcium tablets", "20mg×7片", 7),
    ("P-INS", "甘精胰岛素注射液", "Insulin glargine injection", "3ml:300IU×1支", 1),
    ("P-CEF", "注射用头孢曲松钠", "Ceftriaxone sodium for injection", "1.0g×1瓶", 1),
)
PRODUCTS = [
    SPLIT,
    PIECE,
    *(
        Product(id=key, name=name, name_en=name_en, spec=spec, kind=Kind.BOX, units=units)
        for key, name, name_en, spec, units in _NAMES
    ),
]
ADVICE = "check the platform and [insurer]; rows wait and are sent by themselves"


def order(hospital: Hospital, key: str, product: str, quantity: int, kind: OrderKind) -> Order:
    return Order(
        id=key,
        kind=kind,
        product=product,
        quantity=quantity,
        patient=f"PT-{key[-3:]}",
        visit=f"V-{key[-3:]}",
        ward=("心内科三病区", "内分泌科", "急诊科")[int(key[-3:]) % 3],
        location="pharmacy",
        route=Route.STATION,
        state=OrderState.WAITING,
        ordered_us=hospital.time.now_us() - int(key[-3:]) * 47_000_000,
        prescriber="DR-07",
    )


async def play(hospital: Hospital) -> None:
    await hospital.services.masterdata.put_products(PRODUCTS)
    await hospital.services.masterdata.put_people(PEOPLE)
    await deliver(hospital)
    split = [product for product in PRODUCTS if product.is_split]
    for n, product in enumerate(split):
        for code in codes_of(n)[:2]:
            fact = hospital.fact(What.PRESCANNED, code, units=product.units, operator="n01", source="scanner-1")
            hospital.record("station-1", fact)
    kinds = list(OrderKind)
    for n in range(24):
        product = PRODUCTS[0] if n % 4 == 0 else split[n % len(split)]
        key = f"YZ2026112100{n:03d}"
        await hospital.services.orders.place(order(hospital, key, product.id, 2 + n % 5, kinds[n % 3]))
        codes = hospital.services.orders.get(key).codes
        if n % 3 != 1 and codes:
            fact = hospital.fact(What.DISPENSED, *codes, order=key, how=How.AUTOMATIC, operator="n02")
            hospital.record("station-1", fact)
    await cabinet(hospital)
    misfits(hospital)
    agents(hospital)
    insurer(hospital)


def codes_of(n: int) -> list[str]:
    return [box(100 * n + k) for k in range(6)]


async def deliver(hospital: Hospital) -> None:
    boxes = [product for product in PRODUCTS if product.kind is Kind.BOX]
    today = hospital.time.today()
    for location in ("pharmacy", "store"):
        lines = []
        for n, product in enumerate(boxes):
            shift = 50 if location == "store" else 0
            expiry = today + dt.timedelta(days=(25, 400, 700, 80, 260, 1000)[n])
            codes = tuple(box(int(code[-6:]) + shift) for code in codes_of(n))
            codes = tuple(f"{(product.drug_ids or ('8100001',))[0]}{code[7:]}" for code in codes)
            lines.append(
                NoteLine(
                    product=product.id, lot=f"H24{n:02d}{shift}", expiry=expiry, made=dt.date(2025, 1, 2), codes=codes
                )
            )
        note = DeliveryNote(
            id=f"SH-20261121-{location}",
            supplier="国药控股股份有限公司",
            location=location,
            kind=Kind.BOX,
            state=NoteState.EXPECTED,
            lines=tuple(lines),
        )
        await hospital.services.receiving.announce(note)
        if location == "pharmacy":
            fact = hospital.fact(
                What.RECEIVED, *note.codes, document=note.id, location=location, operator="n01", source="scanner-1"
            )
            hospital.record("station-1", fact)


async def cabinet(hospital: Hospital) -> None:
    pieces = [encode_piece(17, n) for n in range(1, 9)]
    await hospital.deliver("HC-20261121-1", PIECE, pieces, kind=Kind.PIECE, location="cath-lab")
    taken = hospital.fact(What.TAKEN, *pieces[:4], operator="n02", location="cath-lab", how=How.RFID, source="reader-1")
    back = hospital.fact(What.PUT_BACK, pieces[0], operator="n02", location="cath-lab", how=How.RFID, source="reader-1")
    hospital.record("cabinet-1", taken, back)


def misfits(hospital: Hospital) -> None:
    opened, unit = codes_of(0)[0], f"{codes_of(0)[0]}#001"
    hospital.record(
        "station-1",
        hospital.fact(What.PRESCANNED, opened, units=7, operator="n02", source="scanner-1"),
        hospital.fact(What.DISPENSED, unit, order="YZ0", how=How.LATE_SCAN, operator="n01", source="scanner-1"),
        hospital.fact(What.FROZEN, "81000099999999999999", reason="召回 2026-17", operator="n01"),
    )


def agents(hospital: Hospital) -> None:
    now, version = hospital.time.now_us(), hospital.ledger.version
    rows = (
        ("station-1", now - 800_000, "codepool 0.1.0", 1, version, 0, 12_000, b"a" * 16, 1, None, 0),
        (
            "cabinet-1",
            now - 1_500_000,
            "codepool 0.1.0",
            1,
            max(0, version - 60),
            12,
            -42_300_000,
            b"b" * 16,
            1,
            None,
            0,
        ),
        ("packager-1", now - 380_000_000, "codepool 0.1.0", 1, max(0, version - 9), 3, None, b"c" * 16, 0, None, 0),
    )
    hospital.ledger.write(
        lambda connection: connection.executemany(statements.WRITE_AGENT, [(*row, 0) for row in rows]).rowcount
    )
    hospital.conditions = (
        Condition(part="ledger"),
        Condition(part="broker"),
        Condition(part="ingest"),
        Condition(
            part="insurer",
            cause="平台无应答",
            advice="check the platform and [insurer]; rows wait and are sent by themselves",
        ),
    )


def insurer(hospital: Hospital) -> None:
    """What the queue would have written after answers of the platform."""
    now = hospital.time.now_us()
    change = (
        "UPDATE insurer_row SET state = ?, cause = ?, attempts = 1, updated_us = ?, next_try_us = ? WHERE id % 7 = ?"
    )
    causes = {"refused": "追溯码与目录不符", "unknown": "应答超时"}
    states = ("accepted", "accepted", "accepted", "refused", "unknown", "accepted")
    rows = [(state, causes.get(state, ""), now, now + 30_000_000, n) for n, state in enumerate(states)]
    hospital.ledger.write(lambda connection: connection.executemany(change, rows).rowcount)
