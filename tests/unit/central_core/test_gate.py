"""Who may speak to central, and what becomes of the others: on a real ledger, with real signatures."""

import copy
import os

import msgspec
import pytest
import zstandard

from central.errors import InvalidError, NotFoundError
from central.stock.device_keys import MOST_WAITING, DeviceKeys, Enrolment
from central.sync.gate import SAY_AGAIN_AFTER_US, Gate
from central.sync.inbox import ALL, OF_ONE, Inbox, Letter
from central.sync.lineage import LOST
from sync_protocol import topics
from sync_protocol.documents import Person
from sync_protocol.envelope import Secret, Voice, fingerprint
from sync_protocol.facts import What
from sync_protocol.machines.credit import LEAST, MOST
from sync_protocol.messages import Ack, Batch, Confirm, Hello, Position, Pull, Refused, Welcome
from tests.unit.central_core.desk import STENT, Desk, HandAgent, piece

CODES = [piece(number) for number in range(5)]


def hello(agent: HandAgent, **fields: object) -> Hello:
    said = Hello(
        start=agent.start,
        head=None,
        head_hash=b"",
        pending=(),
        replica_version=0,
        key=agent.secret.public,
    )
    return msgspec.structs.replace(said, **fields)


async def stocked(desk: Desk) -> None:
    await desk.catalogue()
    await desk.in_stock(STENT, CODES, note="N-1")
    await desk.people.put([Person(id="n1", name="李敏", pin="2468"), Person(id="n2", name="王强", pin="1357")])


def listed(desk: Desk) -> DeviceKeys:
    keys = DeviceKeys(desk.ledger, Enrolment.LISTED)
    desk.ingest._gate = Gate(desk.ledger, keys, desk.agents, desk.publisher.refuse)
    return keys


def facts_of(desk: Desk, device: str) -> int:
    ((count,),) = desk.rows("SELECT count(*) FROM fact WHERE device = ?", device)
    return int(count)


async def test_a_listed_device_waits_for_two_people_and_keeps_its_facts(desk: Desk) -> None:
    await stocked(desk)
    keys, agent = listed(desk), HandAgent("cabinet-1")
    batch = agent.batch(desk.fact(What.TAKEN, CODES[0]))
    await desk.ingest.take([agent.letter(hello(agent)), agent.letter(batch)])
    assert keys.waiting == (("cabinet-1", agent.secret.public),)
    assert desk.post.to("cabinet-1", Welcome) == []
    (refused,) = desk.post.to("cabinet-1", Refused)
    assert fingerprint(agent.secret.public) in refused.cause
    assert facts_of(desk, "cabinet-1") == 0
    with pytest.raises(InvalidError, match="witness"):
        keys.accept("cabinet-1", agent.secret.public, operator="n1", witness="n1")
    keys.accept("cabinet-1", agent.secret.public, operator="n1", witness="n2")
    await desk.ingest.take([agent.letter(hello(agent)), agent.letter(batch)])
    assert desk.post.to("cabinet-1", Ack)[0].through == 1
    assert DeviceKeys(desk.ledger, Enrolment.LISTED).of("cabinet-1") == agent.secret.public
    keys.revoke("cabinet-1", operator="n2", witness="n1")
    await desk.ingest.take([agent.letter(hello(agent))])
    assert len(desk.post.to("cabinet-1", Welcome)) == 1
    with pytest.raises(NotFoundError, match="cabinet-1"):
        keys.revoke("cabinet-1", operator="n2", witness="n1")


async def test_open_enrolment_pins_the_first_key_and_no_second(desk: Desk) -> None:
    await stocked(desk)
    agent, thief = HandAgent("cabinet-1"), HandAgent("cabinet-1")
    thief.secret = Secret(os.urandom(32))
    thief.voice = Voice(thief.start.session, thief.secret.sign)
    await desk.ingest.take([agent.letter(hello(agent)), thief.letter(hello(thief))])
    assert len(desk.post.to("cabinet-1", Welcome)) == 1
    assert desk.device_keys.of("cabinet-1") == agent.secret.public
    assert desk.device_keys.waiting == (("cabinet-1", thief.secret.public),)
    assert "waits to be accepted" in desk.gate.refused_lately["cabinet-1"]


@pytest.mark.fault(24, 59)
async def test_forged_moved_and_spliced_letters_are_refused_and_block_nobody(desk: Desk) -> None:
    await stocked(desk)
    agent, other = HandAgent("cabinet-1"), HandAgent("cabinet-2")
    await desk.ingest.take([agent.letter(hello(agent)), other.letter(hello(other))])
    genuine = agent.letter(agent.batch(desk.fact(What.TAKEN, CODES[0])))
    forger = Voice(agent.start.session, Secret(os.urandom(32)).sign)
    invented = HandAgent("cabinet-1", parent=agent)
    made_up = invented.batch(desk.fact(What.WRITTEN_OFF, *CODES, reason="forged"))
    letters = [
        msgspec.structs.replace(genuine, device="cabinet-2"),
        Letter(device="cabinet-1", data=forger.say(made_up, topics.up("cabinet-1"))),
        Letter(device="cabinet-1", data=other.voice.say(made_up, topics.up("cabinet-1"))),
        Letter(device="cabinet-1", data=genuine.data[:-1] + bytes((genuine.data[-1] ^ 1,))),
        Letter(device="cabinet-1", data=genuine.data[:89] + other.letter(Pull(after=0)).data[89:]),
        Letter(device="cabinet-3", data=genuine.data),
        genuine,
        genuine,
        other.letter(other.batch(desk.fact(What.TAKEN, CODES[1]))),
    ]
    await desk.ingest.take(letters)
    assert (facts_of(desk, "cabinet-1"), facts_of(desk, "cabinet-2")) == (1, 1)
    assert desk.gate.refusals == 6
    assert set(desk.gate.refused_lately) == {"cabinet-3"}, "who was heard well since is not in trouble"


@pytest.mark.fault(25)
async def test_old_words_said_again_do_not_make_a_silent_device_look_alive(desk: Desk) -> None:
    await stocked(desk)
    before = HandAgent("cabinet-1")
    met = desk.ledger.incarnation
    said = (hello(before, incarnation=met), Confirm(recall_version=9), Pull(after=0))
    old = [before.letter(message) for message in said]
    await desk.ingest.take(old)
    agent = HandAgent("cabinet-1", parent=before)
    now = hello(agent, incarnation=met, recall_version=4)
    await desk.ingest.take([agent.letter(now), agent.letter(Pull(after=2))])
    heard_us = desk.agents.heard("cabinet-1").last_seen_us
    desk.clock.us += 60_000_000
    again = agent.letter(Pull(after=3))
    await desk.ingest.take([again])
    desk.clock.us += 60_000_000
    await desk.ingest.take([*old, again])
    known = desk.agents._agents["cabinet-1"]
    assert known.last_seen_us == heard_us + 60_000_000
    assert (known.session, known.recall_version, known.replica_version) == (agent.start.session, 4, 0)


async def test_a_process_resumed_from_a_snapshot_is_heard_again_after_its_first_welcome(desk: Desk) -> None:
    """Else an agent whose original had said much would be deaf to recalls, and silent at the sync page, for as long."""
    await stocked(desk)
    agent = HandAgent("cabinet-1")
    met = desk.ledger.incarnation
    await desk.ingest.take([agent.letter(hello(agent, incarnation=met))])
    woken = copy.copy(agent.voice)
    await desk.ingest.take([agent.letter(Pull(after=0)) for _ in range(50)])
    heard_us = desk.agents.heard("cabinet-1").last_seen_us
    desk.clock.us += 60_000_000
    agent.voice = woken
    await desk.ingest.take([agent.letter(hello(agent, incarnation=met))])
    assert desk.agents._agents["cabinet-1"].last_seen_us == heard_us, "it may be an old HELLO that is said again"
    welcome = desk.post.to("cabinet-1", Welcome)[-1]
    assert welcome.heard == 51
    woken.go_on(welcome.heard)
    await desk.ingest.take([agent.letter(Pull(after=0))])
    assert desk.agents._agents["cabinet-1"].last_seen_us == heard_us + 60_000_000


@pytest.mark.parametrize("written", [1, 0])
async def test_a_hello_of_a_process_that_is_over_blames_nobody_and_silences_nobody(desk: Desk, written: int) -> None:
    """The broker kept it while its session had nothing in the ledger; the next process has told of more since.

    Of a process that wrote nothing the next one tells only that it follows it.
    """
    await stocked(desk)
    met = desk.ledger.incarnation
    first = HandAgent("cabinet-1")
    await desk.ingest.take([first.letter(hello(first, incarnation=met))])
    middle = HandAgent("cabinet-1", parent=first)
    late = middle.letter(hello(middle, incarnation=met))
    if written:
        middle.batch(desk.fact(What.TAKEN, CODES[0]))
    now = HandAgent("cabinet-1", parent=middle)
    older = [Position(session=middle.start.session, through=1)] if written else []
    heads = [*older, Position(session=now.start.session, through=1)]
    await desk.ingest.take([now.letter(hello(now, incarnation=met, heads=older))])
    await desk.ingest.take([now.letter(hello(now, incarnation=met, heads=heads))])
    await desk.ingest.take([late])
    assert desk.rows("SELECT reason, found FROM exception") == []
    known = desk.agents.before("cabinet-1")
    assert (known.session, known.heads) == (now.start.session, {head.session: 1 for head in heads})
    desk.clock.us += 60_000_000
    await desk.ingest.take([now.letter(Pull(after=1))])
    assert desk.agents._agents["cabinet-1"].last_seen_us == desk.clock.us


async def test_what_a_lost_disk_told_of_is_counted_though_a_batch_of_its_successor_came_first(desk: Desk) -> None:
    """Of two centrals the other one welcomed the successor, and its batch for that one is heard here, too."""
    await stocked(desk)
    met = desk.ledger.incarnation
    gone, anew = HandAgent("cabinet-1"), HandAgent("cabinet-1")
    heads = [Position(session=gone.start.session, through=5)]
    await desk.ingest.take([gone.letter(hello(gone, incarnation=met))])
    await desk.ingest.take([gone.letter(hello(gone, incarnation=met, heads=heads))])
    batch = anew.batch(desk.fact(What.TAKEN, CODES[0]))
    await desk.ingest.take([anew.letter(msgspec.structs.replace(batch, incarnation=met + 1))])
    heads = [Position(session=anew.start.session, through=1)]
    await desk.ingest.take([anew.letter(hello(anew, incarnation=met, heads=heads))])
    ((reason, found),) = desk.rows("SELECT reason, found FROM exception")
    assert reason == "journal_lost"
    assert "are lost: 5," in found


async def test_what_an_old_hello_tells_of_is_counted_with_the_next_journal(desk: Desk) -> None:
    await stocked(desk)
    met = desk.ledger.incarnation
    gone, anew, last = HandAgent("cabinet-1"), HandAgent("cabinet-1"), HandAgent("cabinet-1")
    heads = [Position(session=gone.start.session, through=5)]
    await desk.ingest.take([gone.letter(hello(gone, incarnation=met))])
    late = gone.letter(hello(gone, incarnation=met, heads=heads))
    await desk.ingest.take([anew.letter(hello(anew, incarnation=met))])
    await desk.ingest.take([late, late])
    assert desk.agents.before("cabinet-1").session == anew.start.session
    await desk.ingest.take([last.letter(hello(last, incarnation=met))])
    counts = [found.split(",")[0] for (found,) in desk.rows("SELECT found FROM exception ORDER BY id")]
    assert counts == [f"{LOST}: 0", f"{LOST}: 5"]


async def test_whoever_pretends_cannot_make_central_flood_a_device(desk: Desk) -> None:
    await stocked(desk)
    agent = HandAgent("cabinet-1")
    await desk.ingest.take([agent.letter(hello(agent))])
    forger = Voice(agent.start.session, Secret(os.urandom(32)).sign)
    lie = Letter(device="cabinet-1", data=forger.say(Pull(after=0), topics.up("cabinet-1")))
    await desk.ingest.take([lie] * 50)
    assert len(desk.post.to("cabinet-1", Refused)) == 1
    desk.clock.us += SAY_AGAIN_AFTER_US
    await desk.ingest.take([lie] * 50)
    assert len(desk.post.to("cabinet-1", Refused)) == 2


async def test_keys_that_wait_are_bounded(desk: Desk) -> None:
    keys = listed(desk)
    for number in range(MOST_WAITING + 5):
        agent = HandAgent(f"ghost-{number}")
        await desk.ingest.take([agent.letter(hello(agent))])
    assert len(keys.waiting) == MOST_WAITING


@pytest.mark.fault(36, 60)
async def test_a_batch_of_a_million_or_a_bomb_stops_at_the_gate(desk: Desk) -> None:
    await stocked(desk)
    agent = HandAgent("cabinet-1")
    await desk.ingest.take([agent.letter(hello(agent))])
    many = Batch(start=agent.start, first_seq=1, previous_hash=agent.head, bodies=(b"x",) * 501)
    bomb = b"\x01\x01" + zstandard.ZstdCompressor().compress(bytes(50 * 1_048_576))
    topic = topics.up("cabinet-1")
    content = agent.voice.say(many, topic)
    packed = Letter(device="cabinet-1", data=_signed(agent, bomb))
    await desk.ingest.take([Letter(device="cabinet-1", data=content), packed, agent.letter(agent.batch(b"poison"))])
    assert [refused.cause.split(":")[0] for refused in desk.post.to("cabinet-1", Refused)] == [
        "batch from fact 1 with 501 facts, at most 500",
        "central cannot read the message",
    ]
    assert desk.post.to("cabinet-1", Ack)[0].through == 1, "a fact that nobody can read is kept, and blocks nothing"
    assert desk.rows("SELECT reason FROM exception") == [("unreadable",)]


def _signed(agent: HandAgent, content: bytes) -> bytes:
    """An envelope around bytes that are no message."""
    head = bytes((1,)) + agent.start.session + (99).to_bytes(8)
    topic = topics.up(agent.device).encode()
    signature = agent.secret.sign(b"codepool envelope 1" + head + bytes((len(topic),)) + topic + content)
    return head + signature + content


@pytest.mark.fault(27)
async def test_the_inbox_takes_devices_in_turn_and_little_of_each() -> None:
    inbox = Inbox()
    for _ in range(100):
        inbox.put(Letter(device="wild", data=b"x" * 100))
    for number in range(3):
        inbox.put(Letter(device=f"quiet-{number}", data=b"y"))
    assert inbox.dropped == {"wild": 100 - OF_ONE}
    taken = [letter.device for letter in await inbox.take(6)]
    assert taken == ["wild", "quiet-0", "quiet-1", "quiet-2", "wild", "wild"]
    assert inbox.credit == MOST
    for number in range(ALL):
        inbox.put(Letter(device=f"d{number}", data=b"z" * 12_000))
    assert inbox.credit == LEAST
    assert inbox.is_full
    assert inbox.put(Letter(device="late", data=b"z")) is False
