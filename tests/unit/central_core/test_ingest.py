"""Facts into the ledger: once, in order, whole, whatever the wire and the disk do."""

import asyncio
import sqlite3

import msgspec
import pytest

from central.errors import BusyError, ConservationError
from central.ledger.read import open_reader
from central.ledger.read_api import timeline
from central.ledger.transaction import Transaction
from sync_protocol.chain import SessionStart, link
from sync_protocol.facts import Moment, What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason
from sync_protocol.messages import Ack, Batch, Hello, Position, Pull, Refused, Welcome
from tests.unit.central_core.desk import EXPIRY, SPLIT, STENT, Desk, HandAgent, box, piece


async def with_pieces(desk: Desk, count: int = 5) -> list[str]:
    codes = [piece(number) for number in range(count)]
    await desk.in_stock(STENT, codes, note="N-PIECES")
    return codes


async def test_commits_facts_and_acks_from_what_is_committed(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agent = HandAgent("cabinet-1")
    (ack,) = await desk.send(agent, agent.batch(desk.fact(What.TAKEN, codes[0]), desk.fact(What.TAKEN, codes[1])))
    assert (ack.through, ack.version, ack.exceptions) == (2, desk.ledger.version, ())
    assert desk.state(codes[0]) is State.TAKEN
    assert desk.rows("SELECT seq, what FROM fact WHERE device = 'cabinet-1'") == [(1, "taken"), (2, "taken")]


async def test_a_replay_is_acked_again_and_changes_nothing(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agent = HandAgent("cabinet-1")
    batch = agent.batch(desk.fact(What.TAKEN, codes[0]), desk.fact(What.TAKEN, codes[0]))
    (first,) = await desk.send(agent, batch)
    version, facts = desk.ledger.version, desk.rows("SELECT count(*) FROM fact")
    (again,) = await desk.send(agent, batch)
    assert again == first
    assert first.exceptions[0].seq == 2
    assert (desk.ledger.version, desk.rows("SELECT count(*) FROM fact")) == (version, facts)


async def test_an_overlap_admits_its_new_part_only(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agent = HandAgent("cabinet-1")
    first = agent.batch(desk.fact(What.TAKEN, codes[0]))
    second = agent.batch(desk.fact(What.TAKEN, codes[1]))
    both = Batch(start=agent.start, first_seq=1, previous_hash=agent.start.hash, bodies=first.bodies + second.bodies)
    await desk.send(agent, first)
    (ack,) = await desk.send(agent, both)
    assert ack.through == 2
    assert desk.rows("SELECT seq FROM fact WHERE device = 'cabinet-1'") == [(1,), (2,)]


async def test_a_gap_admits_nothing_and_acks_where_it_begins(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agent = HandAgent("cabinet-1")
    agent.batch(desk.fact(What.TAKEN, codes[0]))
    (ack,) = await desk.send(agent, agent.batch(desk.fact(What.TAKEN, codes[1])))
    assert ack.through == 0
    assert desk.rows("SELECT count(*) FROM fact WHERE device = 'cabinet-1'") == [(0,)]


async def test_several_agents_and_batches_share_a_commit(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agents = [HandAgent(f"cabinet-{number}") for number in range(3)]
    version = desk.ledger.version
    letters = []
    for agent, code in zip(agents, codes, strict=False):
        letters.append(agent.letter(agent.batch(desk.fact(What.TAKEN, code))))
        letters.append(agent.letter(agent.batch(desk.fact(What.PUT_BACK, code))))
    await desk.take(letters)
    assert desk.ledger.version == version + 1
    for agent in agents:
        (ack,) = desk.post.to(agent.device, Ack)
        assert ack.through == 2
    assert desk.states() == {State.IN_STOCK: 5}


async def test_two_agents_that_take_one_code_are_both_kept_and_one_is_told(desk: Desk) -> None:
    (code, *_) = await with_pieces(desk)
    one, other = HandAgent("cabinet-1"), HandAgent("cabinet-2")
    await desk.take(
        [
            one.letter(one.batch(desk.fact(What.TAKEN, code, operator="n1"))),
            other.letter(other.batch(desk.fact(What.TAKEN, code, operator="n2"))),
        ]
    )
    assert desk.post.to("cabinet-1", Ack)[0].exceptions == ()
    (verdict,) = desk.post.to("cabinet-2", Ack)[0].exceptions
    assert (verdict.refusals[0].code, verdict.refusals[0].reason) == (code, Reason.WRONG_STATE)
    reader = open_reader(desk.path)
    assert [event.what for event in await timeline(reader, [code])] == ["announced", "received", "taken", "taken"]
    await reader.dispose()
    assert desk.rows("SELECT holder FROM item WHERE code = ?", code) == [("n1",)]
    assert desk.rows("SELECT device, code, reason FROM exception") == [("cabinet-2", code, "wrong_state")]


async def test_one_bad_code_does_not_block_the_others(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agent = HandAgent("cabinet-1")
    (ack,) = await desk.send(agent, agent.batch(desk.fact(What.TAKEN, codes[0], "9" * 24, codes[1])))
    assert ack.exceptions[0].refusals[0].reason is Reason.UNKNOWN_CODE
    assert desk.states() == {State.TAKEN: 2, State.IN_STOCK: 3}


def poison(desk: Desk, code: str) -> dict[str, bytes]:
    good = desk.fact(What.TAKEN, code)
    late = msgspec.structs.replace(good, at=Moment(wall_us=2**63 - 1, mono_us=0))
    far = msgspec.structs.replace(good, at=Moment(wall_us=0, mono_us=0, offset_us=-(2**62)))
    zone = msgspec.structs.replace(good, at=Moment(wall_us=1, mono_us=0, zone_min=10**12))
    codec = msgspec.msgpack.Encoder()
    fields = msgspec.to_builtins(good)
    return {
        "not msgpack": b"\xc1\xff",
        "empty": b"",
        "another type": codec.encode({"what": "taken"}),
        "unknown fact": codec.encode(["vanished", [code], *fields[2:]]),
        "no code": codec.encode(["taken", [], *fields[2:]]),
        "year 294247": codec.encode(late),
        "before the calendar": codec.encode(far),
        "no such zone": codec.encode(zone),
        "63 bits and more": codec.encode(["taken", [code], [2**64 - 1, 0], *fields[3:]]),
        "half a fact": codec.encode(good)[:-4],
        "two million units": codec.encode(desk.fact(What.PRESCANNED, *(f"{n:020d}" for n in range(300)), units=9_999)),
        "a box that is a unit": codec.encode(desk.fact(What.PRESCANNED, "81#001", units=3)),
    }


async def test_poison_is_kept_and_the_next_fact_goes_on(desk: Desk) -> None:
    codes = await with_pieces(desk)
    desk.record(What.ANNOUNCED, "81#001", document="N-X", product="SPLIT", lot="L", expiry=EXPIRY, kind=SPLIT.kind)
    desk.record(What.RECEIVED, "81#001", document="N-X")
    agent = HandAgent("cabinet-1")
    bodies = list(poison(desk, codes[0]).values())
    (ack,) = await desk.send(agent, agent.batch(*bodies, desk.fact(What.TAKEN, codes[1])))
    assert ack.through == len(bodies) + 1
    assert [verdict.seq for verdict in ack.exceptions] == list(range(1, len(bodies) + 1))
    assert desk.state(codes[1]) is State.TAKEN
    assert desk.rows("SELECT count(*) FROM fact WHERE what = 'unreadable'") == [(len(bodies),)]
    assert desk.rows("SELECT body FROM fact WHERE device = 'cabinet-1' AND seq <= ?", len(bodies)) == [
        (body,) for body in bodies
    ]
    assert desk.rows("SELECT count(*) FROM exception WHERE reason = 'unreadable'") == [(len(bodies),)]


async def test_a_chain_that_cannot_be_true_is_refused_once_on_the_work_list(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agent = HandAgent("cabinet-1")
    await desk.send(agent, agent.batch(desk.fact(What.TAKEN, codes[0])))
    forged = Batch(
        start=agent.start, first_seq=2, previous_hash=link(agent.start.hash, b"another past"), bodies=(b"body",)
    )
    facts = desk.rows("SELECT count(*) FROM fact")
    acks = await desk.send(agent, forged)
    acks += await desk.send(agent, forged)
    assert acks == []
    assert len(desk.post.to("cabinet-1", Refused)) == 2
    assert desk.rows("SELECT count(*) FROM fact") == facts
    assert desk.rows("SELECT reason FROM exception") == [("chain_conflict",)]
    assert "cabinet-1" in desk.ingest.stuck
    await desk.send(agent, agent.batch(desk.fact(What.TAKEN, codes[1])))
    assert desk.ingest.stuck == {}


async def test_a_second_child_of_one_session_is_a_clone_and_its_facts_are_kept(desk: Desk) -> None:
    codes = await with_pieces(desk)
    parent = HandAgent("cabinet-1")
    await desk.send(parent, parent.batch(desk.fact(What.TAKEN, codes[0])))
    for number in (1, 2):
        child = HandAgent("cabinet-1", parent=parent)
        await desk.send(child, child.batch(desk.fact(What.TAKEN, codes[number])))
    assert desk.rows("SELECT reason FROM exception") == [("session_fork",)]
    assert desk.states() == {State.TAKEN: 3, State.IN_STOCK: 2}


async def test_a_session_that_follows_less_than_the_ledger_holds_is_a_restored_journal(desk: Desk) -> None:
    codes = await with_pieces(desk)
    parent = HandAgent("cabinet-1")
    await desk.send(parent, parent.batch(desk.fact(What.TAKEN, codes[0])))
    image = parent.seq, parent.head
    await desk.send(parent, parent.batch(desk.fact(What.PUT_BACK, codes[0])))
    parent.seq, parent.head = image
    child = HandAgent("cabinet-1", parent=parent)
    await desk.send(child, child.batch(desk.fact(What.TAKEN, codes[1])))
    ((reason, found),) = desk.rows("SELECT reason, found FROM exception")
    assert reason == "journal_restored"
    assert found.startswith("facts that the ledger has and this journal has not: 1, ")


@pytest.mark.fault(12)
async def test_a_session_that_follows_another_fact_under_a_known_number_is_a_second_history(desk: Desk) -> None:
    """A machine was woken from a snapshot, and wrote in its session before it heard that this had gone on."""
    codes = await with_pieces(desk)
    parent = HandAgent("cabinet-1")
    await desk.send(parent, parent.batch(desk.fact(What.TAKEN, codes[0])))
    image = parent.seq, parent.head
    await desk.send(parent, parent.batch(desk.fact(What.PUT_BACK, codes[0]), desk.fact(What.TAKEN, codes[0])))
    parent.seq, parent.head = image
    parent.batch(desk.fact(What.COUNTED, codes[1]))
    child = HandAgent("cabinet-1", parent=parent)
    await desk.send(child, child.batch(desk.fact(What.TAKEN, codes[1])))
    ((reason, found),) = desk.rows("SELECT reason, found FROM exception")
    assert reason == "session_fork"
    assert found.startswith("facts that the ledger has and this journal has not: 1, ")


async def test_hello_is_answered_with_what_is_committed(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agent = HandAgent("cabinet-1")
    await desk.send(agent, agent.batch(desk.fact(What.TAKEN, codes[0])))
    hello = Hello(
        start=agent.start,
        head=None,
        head_hash=b"",
        pending=(Position(session=b"s" * 16, through=7), Position(session=agent.start.session, through=0)),
        replica_version=0,
        software="edge 1",
        sent_us=desk.clock.us - 5,
    )
    await desk.send(agent, hello)
    (welcome,) = desk.post.to("cabinet-1", Welcome)
    assert [position.through for position in welcome.positions] == [0, 1]
    assert (welcome.version, welcome.echo_us, welcome.central_us) == (
        desk.ledger.version,
        hello.sent_us,
        desk.clock.us,
    )
    desk.agents.write()
    assert desk.rows("SELECT software, is_connected, clock_offset_us FROM agent") == [("edge 1", 1, 5)]


async def test_an_agent_of_a_newer_schema_is_told_what_to_do(desk: Desk) -> None:
    agent = HandAgent("cabinet-1")
    hello = Hello(start=agent.start, head=None, head_hash=b"", pending=(), replica_version=0, schema=99)
    await desk.send(agent, hello)
    assert desk.post.to("cabinet-1", Welcome) == []
    (newer,) = desk.post.to("cabinet-1", Refused)
    assert "schema 99" in newer.cause
    await desk.send(agent, msgspec.structs.replace(hello, schema=1))
    assert len(desk.post.to("cabinet-1", Welcome)) == 1


async def test_letters_that_cannot_be_are_refused_and_block_nobody(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agent, liar = HandAgent("cabinet-1"), HandAgent("cabinet-2")
    liar.start = HandAgent("cabinet-9").start
    letters = [
        liar.letter(liar.batch(desk.fact(What.TAKEN, codes[0]))),
        liar.letter(Batch(start=agent.start, first_seq=0, previous_hash=b"", bodies=())),
        liar.letter(Pull(after=2**63)),
        liar.letter(
            msgspec.structs.replace(
                liar.batch(b"x"), start=SessionStart(device="cabinet-2", session=b"s" * 16, started_us=2**63)
            )
        ),
        msgspec.structs.replace(agent.letter(Pull(after=0)), device="cabinet-3", data=b"\x01\x01rubbish"),
        agent.letter(agent.batch(desk.fact(What.TAKEN, codes[0]))),
    ]
    await desk.take(letters)
    assert len(desk.post.to("cabinet-2", Refused)) == 4
    assert len(desk.post.to("cabinet-3", Refused)) == 1
    assert desk.post.to("cabinet-1", Ack)[0].through == 1


async def test_a_commit_that_breaks_conservation_is_rolled_back_and_stops_only_its_own_agent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = await with_pieces(desk)
    good, bad = HandAgent("cabinet-1"), HandAgent("station-1")
    real = Transaction.finish

    def finish(transaction: Transaction) -> None:
        real(transaction)
        if any(folded.fact.operator == "breaker" for folded in transaction.folded):
            raise ConservationError("box 81: found 9 units in their places, expected 10")

    monkeypatch.setattr(Transaction, "finish", finish)
    facts = [desk.fact(What.TAKEN, codes[0]), desk.fact(What.TAKEN, codes[1], operator="breaker")]
    await desk.take([good.letter(good.batch(facts[0])), bad.letter(bad.batch(facts[1]))])
    assert desk.post.to("cabinet-1", Ack)[0].through == 1
    assert desk.post.to("station-1", Ack) == []
    assert "not add up" in desk.post.to("station-1", Refused)[0].cause
    assert desk.rows("SELECT device FROM fact WHERE device != 'central'") == [("cabinet-1",)]


async def test_conservation_is_counted_in_the_database_at_every_commit(desk: Desk) -> None:
    await desk.units(1)
    desk.ledger.connection.execute("UPDATE item SET state = 'expected' WHERE code = ?", (f"{box(SPLIT, 1)}#003",))
    with pytest.raises(ConservationError, match="found 9 units in their places, expected 10"):
        desk.record(What.WRITTEN_OFF, f"{box(SPLIT, 1)}#001", reason="broken")
    assert desk.state(f"{box(SPLIT, 1)}#001") is State.IN_STOCK


async def test_an_opened_box_may_be_frozen_while_its_units_live_on(desk: Desk) -> None:
    await desk.units(1)
    desk.record(What.FROZEN, box(SPLIT, 1), reason="recall")
    desk.record(What.WRITTEN_OFF, box(SPLIT, 1), reason="recall")
    assert desk.state(box(SPLIT, 1)) is State.ABNORMAL


async def test_a_large_batch_is_committed_in_parts_and_acked_whole(desk: Desk) -> None:
    boxes = [box(SPLIT, number) for number in range(1, 31)]
    await desk.in_stock(SPLIT, boxes, note="N-1")
    agent, version = HandAgent("station-1"), desk.ledger.version
    (ack,) = await desk.send(agent, agent.batch(*(desk.fact(What.PRESCANNED, code, units=999) for code in boxes)))
    assert ack.through == 30
    assert desk.ledger.version > version + 1
    assert desk.rows("SELECT count(*) FROM item WHERE box != ''") == [(30 * 999,)]
    assert desk.rows("SELECT max(n) FROM (SELECT count(*) AS n FROM item GROUP BY version)")[0][0] < 12_000


async def test_a_locked_ledger_is_waited_for(desk: Desk) -> None:
    codes = await with_pieces(desk)
    agent = HandAgent("cabinet-1")
    desk.device_keys.meet("cabinet-1", agent.secret.public)
    other = sqlite3.connect(desk.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError, match="another process holds the ledger"):
        desk.record(What.TAKEN, codes[1])
    assert "another process" in desk.ledger.trouble
    asyncio.get_running_loop().call_later(0.3, other.execute, "ROLLBACK")
    (ack,) = await desk.send(agent, agent.batch(desk.fact(What.TAKEN, codes[0])))
    other.close()
    assert ack.through == 1
    assert desk.ledger.trouble == ""
