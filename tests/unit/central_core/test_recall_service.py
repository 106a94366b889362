"""Recalls at central: two people, one signed set, every item at hand frozen, and nothing that happened disbelieved."""

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from central.errors import ConflictError, InvalidError, NotFoundError, StartError
from central.ledger import store
from central.stock import recall_items
from central.stock.recall_key import FILE, RecallKey, open_key
from central.stock.recalls import NewRecall, Recalls
from central.stock.usage import Usage
from sync_protocol.chain import link
from sync_protocol.documents import OrderState, Person
from sync_protocol.errors import WireError
from sync_protocol.facts import How, Moment, What
from sync_protocol.items import State
from sync_protocol.messages import Ack, AskRecalls, Confirm, Delta, Hello, Pull, Welcome
from sync_protocol.recalls import InForce, Recall, RecallSet, SignedRecalls, encode_recalls, open_recalls
from tests.unit.central_core.desk import NOON_US, SPLIT, STENT, WHOLE, Desk, HandAgent, an_order, box, piece

PEOPLE = [Person(id="n1", name="李敏"), Person(id="n2", name="王强"), Person(id="gone", name="离职", is_active=False)]
LATER_US = 60_000_000


def a_recall(recall_id: str = "R1", **fields: Any) -> NewRecall:
    known = {"product": "WHOLE", "lot": "L1", "reason": "particles", "operator": "n1", "witness": "n2"}
    return NewRecall(id=recall_id, **(known | fields))


async def lifted(desk: Desk, recall_id: str = "R1") -> Recall:
    return await desk.recalls.lift(recall_id, operator="n2", witness="n1", reason="cleared")


@pytest.fixture
async def pharmacy(desk: Desk) -> Desk:
    """Three boxes of lot L1 and two of L2, and two people."""
    await desk.catalogue()
    await desk.people.put(PEOPLE)
    await desk.in_stock(WHOLE, [box(WHOLE, n) for n in (1, 2, 3)], note="N-1")
    await desk.in_stock(WHOLE, [box(WHOLE, n) for n in (4, 5)], note="N-2", lot="L2")
    return desk


def held(desk: Desk) -> RecallSet:
    assert desk.recalls.signed is not None
    return open_recalls(desk.recalls.signed, [open_key(desk.path.parent).public])


async def test_a_lot_is_frozen_its_orders_filled_anew_and_lifting_gives_it_back(pharmacy: Desk) -> None:
    await pharmacy.orders.place(an_order("O1", WHOLE, 2))
    assert {pharmacy.state(box(WHOLE, n)) for n in (1, 2)} == {State.LOCKED}
    recall = await pharmacy.recalls.issue(a_recall())
    assert held(pharmacy).recalls == (recall,)
    assert {pharmacy.state(box(WHOLE, n)) for n in (1, 2, 3)} == {State.FROZEN}
    assert {pharmacy.state(box(WHOLE, n)) for n in (4, 5)} == {State.LOCKED}
    assert pharmacy.orders.get("O1").state is OrderState.LOCKED
    ((document, operator),) = pharmacy.rows("SELECT document, operator FROM fact WHERE what = 'frozen'")
    assert (document, operator) == ("R1", "")
    await lifted(pharmacy)
    states = pharmacy.states()
    assert (states["locked"], states["in_stock"]) == (2, 3)
    assert held(pharmacy).recalls[0].is_active is False
    assert pharmacy.rows("SELECT lifted_by, lift_witness, is_settled FROM recall") == [("n2", "n1", 1)]


async def test_the_recall_leaves_before_the_rows_that_follow_from_it(pharmacy: Desk) -> None:
    pharmacy.post.sent.clear()
    await pharmacy.recalls.issue(a_recall())
    kinds = [type(message) for _, message in pharmacy.post.sent]
    assert kinds == [SignedRecalls, Delta]


async def test_what_becomes_covered_later_is_frozen_when_it_does(pharmacy: Desk) -> None:
    codes = tuple(box(WHOLE, n) for n in (6, 7))
    cabinet = HandAgent("station-1")
    await pharmacy.orders.place(an_order("O1", WHOLE, 1))
    (given,) = pharmacy.orders.get("O1").codes
    await pharmacy.send(cabinet, cabinet.batch(pharmacy.fact(What.DISPENSED, given, order="O1")))
    await pharmacy.receiving.announce(msgspec.structs.replace(_note(codes), id="N-9"))
    pharmacy.clock.us += LATER_US
    await pharmacy.recalls.issue(a_recall())
    assert {pharmacy.state(code) for code in codes} == {State.EXPECTED}
    facts = (
        pharmacy.fact(What.RECEIVED, *codes, document="N-9"),
        pharmacy.fact(What.RETURNED, given, order="O1"),
    )
    acks = await pharmacy.send(cabinet, cabinet.batch(*facts))
    assert [ack.exceptions for ack in acks] == [()]
    assert {pharmacy.state(code) for code in (*codes, given)} == {State.FROZEN}
    assert pharmacy.rows("SELECT state FROM note WHERE id = 'N-9'") == [("received",)]


def _note(codes: tuple[str, ...]) -> Any:
    from tests.unit.central_core.desk import a_note  # noqa: PLC0415

    return a_note(WHOLE, codes, note="N-9")


@pytest.mark.fault(43)
@pytest.mark.parametrize("hours", [-1, 1])
async def test_what_a_workplace_issued_unaware_is_believed_and_no_patient_is_served_twice(
    pharmacy: Desk, hours: int
) -> None:
    """The order was filled anew; the old boxes reach their patient all the same."""
    await pharmacy.orders.place(an_order("O1", WHOLE, 2))
    old = pharmacy.orders.get("O1").codes
    await pharmacy.recalls.issue(a_recall())
    new = set(pharmacy.orders.get("O1").codes) - set(old)
    assert {pharmacy.state(code) for code in new} == {State.LOCKED}
    station = HandAgent("station-1")
    at = Moment(wall_us=NOON_US + hours * 3_600_000_000, mono_us=1)
    fact = msgspec.structs.replace(pharmacy.fact(What.DISPENSED, *old, order="O1"), at=at)
    (ack,) = await pharmacy.send(station, station.batch(fact))
    assert {pharmacy.state(code) for code in old} == {State.DISPENSED}
    assert {pharmacy.state(code) for code in new} == {State.IN_STOCK}
    assert pharmacy.orders.get("O1").state is OrderState.DISPENSED
    assert pharmacy.rows("SELECT count(*) FROM insurer_row") == [(2,)]
    reasons = [refusal.reason for verdict in ack.exceptions for refusal in verdict.refusals]
    assert reasons == ["recalled"] * (2 if hours > 0 else 0)


async def test_a_box_opened_and_issued_unaware_is_opened_in_the_ledger_and_its_rest_frozen(pharmacy: Desk) -> None:
    code = box(SPLIT, 1)
    await pharmacy.in_stock(SPLIT, [code], note="N-3")
    await pharmacy.recalls.issue(a_recall(product="SPLIT"))
    station = HandAgent("station-1")
    units = [f"{code}#{n:03d}" for n in (1, 2)]
    facts = (
        pharmacy.fact(What.PRESCANNED, code, units=10),
        pharmacy.fact(What.DISPENSED, *units, order="O-late", how=How.LATE_SCAN),
        pharmacy.fact(What.RETURNED, units[1]),
    )
    (ack,) = await pharmacy.send(station, station.batch(*facts))
    # Handed out after the recall, both of them, though one came back.
    assert [refusal.code for verdict in ack.exceptions for refusal in verdict.refusals] == units
    assert pharmacy.state(units[0]) is State.DISPENSED
    assert pharmacy.rows("SELECT count(*) FROM item WHERE box != '' AND state = 'frozen'") == [(9,)]
    assert pharmacy.state(code) is State.FROZEN


async def test_who_says_old_numbers_hears_of_recalls_all_the_same(pharmacy: Desk) -> None:
    """A machine that was woken from a snapshot, beside what its original still had on the way."""
    station = HandAgent("station-1")
    await pharmacy.send(station, station.batch(pharmacy.fact(What.COUNTED, box(WHOLE, 1))))
    old = station.letter(Pull(after=0))
    await pharmacy.ingest.take([station.letter(Pull(after=0)) for _ in range(5)])
    seen_us = pharmacy.agents.heard("station-1").last_seen_us
    await pharmacy.recalls.issue(a_recall())
    pharmacy.clock.us += LATER_US
    await pharmacy.ingest.take([old, old])
    assert [one.version for one in pharmacy.post.to("station-1", SignedRecalls)] == [held(pharmacy).version]
    assert pharmacy.agents._agents["station-1"].last_seen_us == seen_us, "it does not seem alive by that"


async def test_what_a_person_froze_is_neither_believed_nor_released(pharmacy: Desk) -> None:
    code = box(WHOLE, 1)
    pharmacy.record(What.FROZEN, code, reason="inquiry 7")
    await pharmacy.recalls.issue(a_recall())
    station = HandAgent("station-1")
    fact = pharmacy.fact(What.DISPENSED, code, order="O1", how=How.LATE_SCAN)
    (ack,) = await pharmacy.send(station, station.batch(fact))
    assert ack.exceptions[0].refusals[0].reason == "frozen"
    await lifted(pharmacy)
    assert pharmacy.state(code) is State.FROZEN
    assert pharmacy.state(box(WHOLE, 2)) is State.IN_STOCK


async def test_what_two_recalls_cover_is_free_when_both_are_lifted(pharmacy: Desk) -> None:
    code = box(WHOLE, 1)
    await pharmacy.recalls.issue(a_recall("R1"))
    await pharmacy.recalls.issue(a_recall("R2", lot="", codes=(code,)))
    await lifted(pharmacy, "R1")
    assert pharmacy.state(code) is State.FROZEN
    assert pharmacy.state(box(WHOLE, 2)) is State.IN_STOCK
    await lifted(pharmacy, "R2")
    assert pharmacy.state(code) is State.IN_STOCK


async def test_an_order_cancelled_while_its_box_was_frozen_does_not_keep_it(pharmacy: Desk) -> None:
    await pharmacy.orders.place(an_order("O1", WHOLE, 1))
    (code,) = pharmacy.orders.get("O1").codes
    await pharmacy.recalls.issue(a_recall())
    await pharmacy.orders.cancel("O1")
    await lifted(pharmacy)
    assert pharmacy.state(code) is State.IN_STOCK


async def test_a_piece_used_before_its_cabinet_told_of_the_taking_is_used(pharmacy: Desk) -> None:
    await pharmacy.in_stock(STENT, [piece(1)], note="N-5")
    await pharmacy.recalls.issue(a_recall(product="STENT"))
    await pharmacy.usage.record(Usage(id="U1", codes=(piece(1),), patient="P-9", wall_us=NOON_US))
    cabinet = HandAgent("cabinet-1")
    await pharmacy.send(cabinet, cabinet.batch(pharmacy.fact(What.TAKEN, piece(1), how=How.RFID)))
    assert pharmacy.state(piece(1)) is State.DISPENSED


async def test_what_releases_an_item_for_a_fact_of_centrals_own_stands_before_it_in_the_chain(pharmacy: Desk) -> None:
    await pharmacy.in_stock(STENT, [piece(1)], note="N-5")
    cabinet = HandAgent("cabinet-1")
    await pharmacy.send(cabinet, cabinet.batch(pharmacy.fact(What.TAKEN, piece(1), how=How.RFID)))
    await pharmacy.recalls.issue(a_recall(product="STENT"))
    await pharmacy.usage.record(Usage(id="U1", codes=(piece(1),), patient="P-9", wall_us=NOON_US))
    assert pharmacy.state(piece(1)) is State.DISPENSED
    own = pharmacy.rows("SELECT seq, what, hash, body FROM fact WHERE device = 'central' ORDER BY position")
    assert [seq for seq, *_ in own] == [*range(1, len(own) + 1)]
    assert [what for _, what, *_ in own][-2:] == ["released", "dispensed"]
    assert own[-1][2] == link(own[-2][2], own[-1][3])


async def test_more_items_than_a_commit_holds_are_frozen_in_several(
    pharmacy: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall_items, "FROZEN_AT_ONCE", 2)
    before = pharmacy.ledger.version
    await pharmacy.orders.place(an_order("O1", WHOLE, 2))
    await pharmacy.recalls.issue(a_recall(lot=""))
    assert pharmacy.states() == {"frozen": 5}
    assert pharmacy.ledger.version == before + 4
    assert pharmacy.orders.get("O1").state is OrderState.WAITING
    assert pharmacy.rows("SELECT count(*) FROM fact WHERE what = 'locked'") == [(1,)]
    await lifted(pharmacy)
    assert pharmacy.states() == {"in_stock": 3, "locked": 2}


async def test_a_restart_finishes_what_was_left_and_keeps_the_recall_in_force(
    pharmacy: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall_items, "FROZEN_AT_ONCE", 2)
    monkeypatch.setattr(Recalls, "finish", _nothing)
    await pharmacy.recalls.issue(a_recall())
    assert pharmacy.states()["frozen"] == 2
    monkeypatch.undo()
    again = Recalls(pharmacy.ledger, open_key(pharmacy.path.parent))
    assert (again.version, again.trouble) == (pharmacy.recalls.version, "")
    pharmacy.ledger.listen(again.committed)
    await again.finish()
    assert pharmacy.states()["frozen"] == 3


async def _nothing(_recalls: Recalls) -> None:
    return


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"witness": "n1"}, "witness"),
        ({"witness": "gone"}, "witness"),
        ({"operator": "nobody"}, "operator"),
        ({"product": "NONE"}, "product"),
        ({"reason": " "}, "reason"),
        ({"codes": (box(WHOLE, 1),)}, "codes"),
        ({"lot": "", "codes": (box(WHOLE, 1), box(SPLIT, 1))}, "codes"),
        ({"lot": "", "codes": ("no code",)}, "codes[0]"),
    ],
)
async def test_a_recall_that_cannot_be_is_refused_by_field(pharmacy: Desk, wrong: dict[str, Any], field: str) -> None:
    await pharmacy.in_stock(SPLIT, [box(SPLIT, 1)], note="N-3")
    with pytest.raises(InvalidError) as refused:
        await pharmacy.recalls.issue(a_recall(**wrong))
    assert refused.value.field == field
    assert pharmacy.recalls.version == 0
    assert pharmacy.ledger.recalls.recalls == ()


async def test_the_same_recall_again_changes_nothing_and_another_one_is_a_conflict(pharmacy: Desk) -> None:
    first = await pharmacy.recalls.issue(a_recall())
    version = pharmacy.ledger.version
    assert await pharmacy.recalls.issue(a_recall()) == first
    assert pharmacy.ledger.version == version
    with pytest.raises(ConflictError):
        await pharmacy.recalls.issue(a_recall(lot="L2"))
    ended = await lifted(pharmacy)
    assert await lifted(pharmacy) == ended
    with pytest.raises(NotFoundError):
        await lifted(pharmacy, "R9")


async def test_versions_only_grow(pharmacy: Desk) -> None:
    versions = []
    for number in range(3):
        await pharmacy.recalls.issue(a_recall(f"R{number}"))
        versions.append(pharmacy.recalls.version)
    pharmacy.clock.us += LATER_US
    await lifted(pharmacy, "R0")
    versions.append(pharmacy.recalls.version)
    assert versions[0] == NOON_US // 1_000_000
    assert versions == sorted(set(versions))


async def test_hello_ask_and_confirm(pharmacy: Desk) -> None:
    await pharmacy.recalls.issue(a_recall())
    version = pharmacy.recalls.version
    agent = HandAgent("cabinet-1")
    hello = Hello(start=agent.start, head=None, head_hash=agent.head, pending=(), replica_version=0)
    await pharmacy.send(agent, hello, AskRecalls())
    (welcome,) = pharmacy.post.to("cabinet-1", Welcome)
    assert welcome.recall_version == version
    assert pharmacy.post.to("cabinet-1", SignedRecalls) == [pharmacy.recalls.signed]
    (ack,) = await pharmacy.send(agent, Confirm(recall_version=version), agent.batch(pharmacy.fact(What.COUNTED, "x")))
    assert isinstance(ack, Ack)
    assert ack.recall_version == version
    assert pharmacy.rows("SELECT recall_version FROM agent WHERE device = 'cabinet-1'") == [(version,)]
    confirmed = [("cabinet-1", version, NOON_US)]
    assert pharmacy.rows("SELECT device, version, confirmed_us FROM recall_confirm") == confirmed
    await pharmacy.send(agent, hello)
    assert pharmacy.rows("SELECT count(*) FROM recall_confirm") == [(0,)]


async def test_a_restored_ledger_takes_its_recalls_back_and_loses_none_of_its_own(
    pharmacy: Desk, tmp_path: Path
) -> None:
    """Whatever was issued before the backup, lost with it, or issued after it: the union is in force in the end."""
    folder = pharmacy.path.parent
    await pharmacy.recalls.issue(a_recall("R0", lot="L9"))
    restored = _copy(pharmacy, tmp_path / "restored")
    pharmacy.clock.us += LATER_US
    await pharmacy.recalls.issue(a_recall("R1"))
    await lifted(pharmacy, "R0")
    lost = pharmacy.recalls.signed
    assert lost is not None
    restored.clock.us += 2 * LATER_US
    await restored.recalls.issue(a_recall("R2", lot="L2"))
    agent = HandAgent("cabinet-1")
    await restored.send(agent, lost)
    assert {(recall.id, recall.is_active) for recall in held(restored).recalls} == {
        ("R0", False),
        ("R1", True),
        ("R2", True),
    }
    assert restored.states() == {"frozen": 5}
    assert restored.recalls.version > max(lost.version, 0)
    assert restored.rows("SELECT given_back_by FROM recall WHERE id = 'R1'") == [("cabinet-1",)]
    version = restored.ledger.version
    await restored.send(agent, lost)
    assert restored.ledger.version == version
    assert restored.recall_lane.refused == {}
    restored.close()
    assert (folder / FILE).exists()


async def test_a_set_that_only_adds_is_adopted_as_it_was_signed(pharmacy: Desk, tmp_path: Path) -> None:
    restored = _copy(pharmacy, tmp_path / "restored")
    await pharmacy.recalls.issue(a_recall())
    lost = pharmacy.recalls.signed
    assert lost is not None
    await restored.send(HandAgent("cabinet-1"), lost)
    assert restored.recalls.signed == lost
    assert isinstance(restored.ledger.recalls, InForce)
    assert restored.states() == {"frozen": 3, "in_stock": 2}
    restored.close()


async def test_a_set_that_says_no_more_but_has_a_higher_version_is_overtaken(pharmacy: Desk, tmp_path: Path) -> None:
    """The other one of two centrals alive said it: whoever holds it takes no set with a lower version."""
    await pharmacy.recalls.issue(a_recall("R0", lot="L9"))
    other = _copy(pharmacy, tmp_path / "other")
    await pharmacy.recalls.issue(a_recall("R1"))
    other.clock.us += LATER_US
    await other.recalls.issue(a_recall("R2", lot="L2"))
    agent, theirs = HandAgent("cabinet-1"), other.recalls.signed
    assert theirs is not None
    await pharmacy.send(agent, theirs)
    ours = pharmacy.recalls.signed
    assert ours is not None
    assert ours.version > theirs.version
    await lifted(other, "R2")
    poorer = other.recalls.signed
    assert poorer is not None
    assert poorer.version == ours.version, "made in one second, and not the same"
    await pharmacy.send(agent, poorer)
    assert pharmacy.recalls.version > poorer.version, "R1 is not in it, and would never come to who holds it"
    active = {recall.id: recall.is_active for recall in held(pharmacy).recalls}
    assert active == {"R0": True, "R1": True, "R2": False}
    other.close()


async def test_the_same_recalls_under_a_higher_version_are_taken_as_they_were_signed(
    pharmacy: Desk, tmp_path: Path
) -> None:
    """Of two centrals alive neither makes a third set of what both say: they would do so for ever."""
    await pharmacy.recalls.issue(a_recall("R1"))
    other = _copy(pharmacy, tmp_path / "other")
    other.clock.us += LATER_US
    await other.recalls.issue(a_recall("R2", lot="L2"))
    pharmacy.clock.us += LATER_US
    await pharmacy.recalls.issue(a_recall("R3", lot="L9"))
    agent = HandAgent("cabinet-1")
    for _ in range(3):
        for here, there in ((pharmacy, other), (other, pharmacy)):
            said = here.recalls.signed
            assert said is not None
            await there.send(agent, said)
    assert pharmacy.recalls.signed == other.recalls.signed
    assert {recall.id for recall in held(pharmacy).recalls} == {"R1", "R2", "R3"}
    other.close()


def _copy(desk: Desk, folder: Path) -> Desk:
    """The ledger as a backup of now has it, opened again."""
    folder.mkdir()
    desk.ledger.connection.execute("VACUUM INTO ?", (str(folder / store.FILE),))
    (folder / FILE).write_bytes((desk.path.parent / FILE).read_bytes())
    (folder / FILE).chmod(0o600)
    return Desk(folder)


async def test_a_forged_set_is_refused_and_named(pharmacy: Desk) -> None:
    body = encode_recalls(RecallSet(version=9, recalls=(Recall(id="X", version=9, product="WHOLE"),)))
    forged = RecallKey(bytes(32)).sign(9, body)
    agent = HandAgent("cabinet-1")
    await pharmacy.send(agent, forged)
    assert pharmacy.recalls.version == 0
    assert "not signed" in pharmacy.recall_lane.refused["cabinet-1"]
    with pytest.raises(WireError):
        await pharmacy.recalls.adopt(forged, "cabinet-1")


async def test_a_ledger_whose_key_was_changed_says_so(pharmacy: Desk) -> None:
    await pharmacy.recalls.issue(a_recall())
    other = Recalls(pharmacy.ledger, RecallKey(bytes(32)))
    assert "another recall key" in other.trouble
    assert pharmacy.ledger.recalls.recalls != ()


def test_the_key_is_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    key = open_key(tmp_path / "data")
    path = tmp_path / "data" / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_key(tmp_path / "data").public == key.public
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == [FILE]
    assert key.text in repr(key)
    path.chmod(0o640)
    with pytest.raises(StartError, match="mode 640"):
        open_key(tmp_path / "data")
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(StartError, match="5 bytes"):
        open_key(tmp_path / "data")
