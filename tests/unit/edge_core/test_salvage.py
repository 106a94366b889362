"""Whatever is destroyed of a journal, every fact whose bytes are left is saved, with its proof where there is one."""

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import StoreError
from edge_agent.store.folder import JOURNAL
from edge_agent.store.salvage import Salvage, salvage
from sync_protocol.codec import decode_fact
from tests.unit.edge_core.shelf import Shelf, piece, taken

PAGE = 4096


async def _journal(path: Path, *, facts: int, sessions: int = 1, is_clean: bool = True) -> None:
    for session in range(sessions):
        shelf = Shelf(path)
        first = session * facts * 4
        await shelf.load(*(piece(number) for number in range(first, first + facts * 4)))
        for number in range(facts):
            wanted = range(first + number * 4, first + number * 4 + (4 if number % 7 == 0 else 1))
            await shelf.recorder.record(taken(*wanted, reason="r" * (250 if number % 5 == 0 else 9)))
        if not is_clean and session == sessions - 1:
            kept = {name: (path / name).read_bytes() for name in (JOURNAL, f"{JOURNAL}-wal")}
            shelf.close()
            for name, content in kept.items():
                (path / name).write_bytes(content)
            return
        shelf.close()


def _save(path: Path, out: str = "saved.jsonl") -> tuple[Salvage, list[dict[str, Any]]]:
    result = salvage(path, path / out)
    return result, [json.loads(line) for line in (path / out).read_text("utf-8").splitlines()]


@pytest.mark.parametrize("is_clean", [True, False])
async def test_a_whole_journal_is_saved_wholly_and_proven(tmp_path: Path, *, is_clean: bool) -> None:
    await _journal(tmp_path, facts=60, sessions=2, is_clean=is_clean)
    result, saved = _save(tmp_path)
    assert (result.proven, result.unproven, result.missing) == (120, 0, 0)
    assert {fact["device"] for fact in saved} == {"cabinet-1"}
    assert len({fact["session"] for fact in saved}) == 2
    assert [fact["seq"] for fact in saved] == [*range(1, 61), *range(1, 61)]
    assert decode_fact(base64.b64decode(saved[0]["body"])).reason == "r" * 250


async def test_facts_larger_than_a_page_are_saved(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    await shelf.load(*(piece(number) for number in range(1500)))
    await shelf.recorder.record(taken(*range(1000)))
    await shelf.recorder.record(taken(*range(1000, 1500)))
    shelf.close()
    result, saved = _save(tmp_path)
    assert (result.proven, result.unproven) == (2, 0)
    assert len(decode_fact(base64.b64decode(saved[0]["body"])).codes) == 1000


@pytest.mark.fault(5)
async def test_every_fact_outside_a_destroyed_page_is_saved(tmp_path: Path) -> None:
    await _journal(tmp_path, facts=120)
    path = tmp_path / JOURNAL
    whole = path.read_bytes()
    _, everything = _save(tmp_path, "all.jsonl")
    rng = random.Random(7)
    for page in range(len(whole) // PAGE):
        path.write_bytes(whole[: page * PAGE] + rng.randbytes(PAGE) + whole[(page + 1) * PAGE :])
        _, saved = _save(tmp_path, f"{page}.jsonl")
        lost = [fact for fact in everything if base64.b64decode(fact["body"]) not in _bodies(saved)]
        elsewhere = whole[: page * PAGE] + whole[(page + 1) * PAGE :]
        # What was lost lay in the destroyed page: with 120 facts of 150 to 450 bytes never more than one page of them.
        assert len(lost) <= PAGE // 150
        assert all(base64.b64decode(fact["body"]) not in elsewhere for fact in lost)
        assert all(fact["is_proven"] <= _is_true(fact, everything) for fact in saved)


async def test_a_changed_bit_is_never_called_proven(tmp_path: Path) -> None:
    await _journal(tmp_path, facts=40)
    path = tmp_path / JOURNAL
    whole = bytearray(path.read_bytes())
    _, everything = _save(tmp_path, "all.jsonl")
    victim = base64.b64decode(everything[20]["body"])
    whole[whole.index(victim) + len(victim) // 2] ^= 1
    path.write_bytes(whole)
    _, saved = _save(tmp_path)
    assert [fact["seq"] for fact in saved if not fact["is_proven"]] in ([21], [])
    assert len([fact for fact in saved if fact["is_proven"]]) == 39


async def test_a_journal_without_its_first_page_names_sessions_by_number(tmp_path: Path) -> None:
    await _journal(tmp_path, facts=30)
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(bytes(2 * PAGE) + whole[2 * PAGE :])
    _, saved = _save(tmp_path)
    assert len(saved) >= 30 - 1
    assert sum(fact["is_proven"] for fact in saved) >= 29 - 1


def test_an_output_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "saved.jsonl").write_text("precious")
    with pytest.raises(StoreError, match="expected a new file"):
        salvage(tmp_path, tmp_path / "saved.jsonl")
    assert (tmp_path / "saved.jsonl").read_text() == "precious"


def test_garbage_gives_no_facts(tmp_path: Path) -> None:
    rng = random.Random(3)
    content = b"".join(b"\x0d" + rng.randbytes(PAGE - 1) for _ in range(300))
    (tmp_path / JOURNAL).write_bytes(content)
    result, saved = _save(tmp_path)
    assert saved == []
    assert result.proven == 0


def _bodies(saved: list[dict[str, Any]]) -> set[bytes]:
    return {base64.b64decode(fact["body"]) for fact in saved}


def _is_true(fact: dict[str, Any], everything: list[dict[str, Any]]) -> bool:
    return any(fact["body"] == other["body"] and fact["seq"] == other["seq"] for other in everything)
