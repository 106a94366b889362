"""The books of the months: journals against ledger, ledger against its facts, what really happened, and the insurer.

The stores may be larger than the memory: facts are read one after the other, items some thousand boxes at a time.
"""

import hashlib
import sqlite3
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import msgspec

from hardware_sims.books.audit import FITTED, misfolded_items, unbalanced
from hardware_sims.books.papers import JOURNAL, LEDGER, Entry, ItemRow
from hardware_sims.books.papers import Ledger as LedgerPaper
from hardware_sims.books.refold import refold
from hardware_sims.month.shelves import Given
from hardware_sims.month.site import AGENTS, CENTRAL

_ITEMS_AT_ONCE = 400_000
_SHOWN = 20
_SEQ_BITS, _SEQ_MASK = 32, 2**32 - 1
_JOURNAL = "SELECT session.session, fact.position, fact.body, fact.hash FROM fact JOIN session ON session.number = fact.position >> 32 ORDER BY fact.position"  # noqa: E501 - one query
_FACTS = "SELECT position, device, session, seq, body, hash, received_us FROM fact ORDER BY position"
_ITEMS = "SELECT code, kind, product, lot, state, location, order_id, holder, box, units, pouch FROM item"
_BY_ORDER = "SELECT order_id, count(*) FROM item WHERE state = 'dispensed' GROUP BY order_id"
_BY_BOX = "SELECT iif(box = '', code, box), count(*) FROM item WHERE state = 'dispensed' GROUP BY 1"
_EXCEPTIONS = "SELECT reason, count(*) FROM exception GROUP BY reason"
_SALES = "SELECT state, count(*) FROM insurer_row GROUP BY state"
_ORDERS = "SELECT state, count(*) FROM orders GROUP BY state"


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """``problems``: everything that does not agree, in words; none: the books balance."""

    facts_journalled: int
    facts_in_ledger: int
    items: int
    exceptions: dict[str, int]
    orders_by_state: dict[str, int]
    sales_by_state: dict[str, int]
    problems: list[str]

    @property
    def is_balanced(self) -> bool:
        return not self.problems


def audit(directory: Path, given: Given, insured: Mapping[str, int], *, unverified: str) -> Books:
    """``insured``: what the insurer has of each box. ``unverified``: what central's own verification found."""
    with _reading(directory / CENTRAL / LEDGER) as ledger:
        journalled, in_ledger, problems = _delivered(ledger, directory)
        items = ledger.execute("SELECT count(*) FROM item").fetchone()[0]
        exceptions = dict(ledger.execute(_EXCEPTIONS).fetchall())
        sales = dict(ledger.execute(_SALES).fetchall())
        found = [*problems, *_misfolded(ledger, items, exceptions), *_untrue(ledger, given, exceptions)]
        found += _misreported(ledger, insured, sales)
        return Books(
            facts_journalled=journalled,
            facts_in_ledger=in_ledger,
            items=items,
            exceptions=exceptions,
            orders_by_state=dict(ledger.execute(_ORDERS).fetchall()),
            sales_by_state=sales,
            problems=[*found, *([f"central verify: {unverified}"] if unverified else [])],
        )


def _delivered(ledger: sqlite3.Connection, directory: Path) -> tuple[int, int, list[str]]:
    """Facts written, facts that arrived, and each that is lost, twice, altered or out of its chain."""
    problems: list[str] = []
    written: dict[bytes, int] = {}
    arrived: Counter[bytes] = Counter()
    heads: dict[bytes, bytes] = {}
    journals = {agent: _journal(directory / agent / JOURNAL) for agent in AGENTS}
    for _, device, session, seq, body, digest, _ in ledger.execute(_FACTS):
        arrived[session] += 1
        if seq != arrived[session]:
            problems.append(f"{device}: fact {seq} stands where {arrived[session]} was expected")
        if session in heads and hashlib.sha256(b"codepool fact 1" + heads[session] + body).digest() != digest:
            problems.append(f"{device}: the hash of fact {seq} does not follow from the one before it")
        heads[session] = digest
        if device in journals and next(journals[device], None) != (session, seq, body, digest):
            problems.append(f"{device}: fact {seq} is not what its journal has")
        if len(problems) > _SHOWN:
            break
    for agent, journal in journals.items():
        if lost := sum(1 for _ in journal):
            problems.append(f"{agent}: {lost} facts of its journal are not in the ledger")
        with _reading(directory / agent / JOURNAL) as connection:
            written[agent.encode()] = connection.execute("SELECT count(*) FROM fact").fetchone()[0]
    own = ledger.execute("SELECT count(*) FROM fact WHERE device IN (?, ?)", AGENTS).fetchone()[0]
    return sum(written.values()), own, problems


def _journal(path: Path) -> Iterator[tuple[bytes, int, bytes, bytes]]:
    """Facts in the order in which they were written."""
    with _reading(path) as connection:
        for session, position, body, digest in connection.execute(_JOURNAL):
            yield session, position & _SEQ_MASK, body, digest


def _misfolded(ledger: sqlite3.Connection, items: int, exceptions: Mapping[str, int]) -> Iterator[str]:
    parts = 1 + items // _ITEMS_AT_ONCE
    misfits = 0
    for part in range(parts):

        def is_mine(code: str, part: int = part) -> bool:
            return zlib.crc32(code.partition("#")[0].encode()) % parts == part

        story = refold((_entry(row) for row in ledger.execute(_FACTS)), only=is_mine)
        misfits += len(story.misfits)
        rows = {row[0]: _item(row) for row in ledger.execute(_ITEMS) if is_mine(row[0])}
        paper = LedgerPaper(entries=(), items=rows, orders={}, exceptions={}, version=0)
        yield from islice(misfolded_items(paper, story), _SHOWN)
        yield from islice(unbalanced(paper, {}), _SHOWN)
    expected = sum(count for reason, count in exceptions.items() if reason not in FITTED)
    if misfits != expected:
        yield f"exceptions: found {expected}, the facts say {misfits}"


def _untrue(ledger: sqlite3.Connection, given: Given, exceptions: Mapping[str, int]) -> Iterator[str]:
    """Where the ledger says other than what went over the counter."""
    booked = array("i", bytes(len(given.coded) * given.coded.itemsize))
    for order, units in ledger.execute(_BY_ORDER):
        booked[int(order[2:])] = units
    wrong = [number for number, (one, other) in enumerate(zip(booked, given.coded, strict=True)) if one != other]
    for number in wrong[:_SHOWN]:
        yield f"order {number}: {given.coded[number]} handed out under their codes, the ledger says {booked[number]}"
    uncoded = exceptions.get("unknown_code", 0)
    if uncoded != given.uncoded_units:
        yield f"without a code: {given.uncoded_units} units went out, the ledger says {uncoded}"


def _misreported(ledger: sqlite3.Connection, insured: Mapping[str, int], sales: Mapping[str, int]) -> Iterator[str]:
    yield from (f"insurer: {number} rows are {state}" for state, number in sales.items() if state != "accepted")
    dispensed = dict(ledger.execute(_BY_BOX).fetchall())
    wrong = [box for box in dispensed.keys() | insured.keys() if dispensed.get(box, 0) != insured.get(box, 0)]
    for box in sorted(wrong)[:_SHOWN]:
        yield f"box {box}: {dispensed.get(box, 0)} dispensed, the insurer has {insured.get(box, 0)}"


def _entry(row: tuple[int, str, bytes, int, bytes, bytes, int]) -> Entry:
    position, device, session, seq, body, digest, received_us = row
    return Entry(
        position=position, device=device, session=session, seq=seq, body=body, hash=digest, received_us=received_us
    )


def _item(row: tuple[object, ...]) -> ItemRow:
    return msgspec.convert(dict(zip(ItemRow.__struct_fields__, row, strict=True)), ItemRow)


def _reading(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True))
