"""A ledger that an older software wrote is brought to the tables of this one, and nothing of it is lost.

``ledger-0003.sql``: written by the software of that revision, with rows in every table.
"""

import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

from central.ledger import signing, store
from central.ledger.read import open_reader
from central.ledger.read_api import timeline
from central.ledger.verify import open_ledger, verify
from sync_protocol.facts import What
from tests.unit.central_core.desk import Desk, piece

OLD = Path(__file__).with_name("ledger-0003.sql")
KEPT = "SELECT position, session, seq, device, what, body, hash, version, received_us FROM fact ORDER BY position"


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute(statement).fetchall()


async def test_a_ledger_of_revision_0003_goes_on_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / store.FILE
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(OLD.read_text("utf-8"))
    facts, items = rows(path, KEPT), rows(path, "SELECT code, state, version FROM item ORDER BY code")
    lives = defaultdict(list)
    for code, position in rows(path, "SELECT code, position FROM fact_code ORDER BY position"):
        lives[code].append(position)

    store.prepare(tmp_path, now_us=1)
    assert rows(path, KEPT) == facts
    assert rows(path, "SELECT code, state, version FROM item ORDER BY code") == items
    assert await _lives(path, lives.keys()) == lives

    backs = rows(path, "SELECT position, order_id, box, quantity FROM insurer_row WHERE is_return")
    assert backs == [(21, "O-0", "81000010000000000001", 1)]

    desk = Desk(tmp_path)
    desk.record(What.COUNTED, piece(1))
    desk.close()
    with closing(open_ledger(path, is_still=False)) as connection:
        report = verify(connection, tmp_path, signing.trusted(tmp_path), lambda _done, _of: None)
    assert report.flaws == ()
    lives[piece(1)].append(len(facts) + 1)
    assert await _lives(path, lives.keys()) == lives


async def _lives(path: Path, codes: Any) -> dict[str, list[int]]:
    engine = open_reader(path)
    try:
        return {code: [event.position for event in await timeline(engine, [code])] for code in codes}
    finally:
        await engine.dispose()
