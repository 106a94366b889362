"""Pulls wait apart: one of each agent, answered in turn, and rows that many ask for are read once (fault 27)."""

import asyncio

import pytest

from central.sync import link, publish
from central.sync.pulls import Pulls
from sync_protocol import topics
from sync_protocol.facts import What
from sync_protocol.messages import Ack, Delta, Pull, Welcome
from tests.unit.central_core.desk import STENT, Desk, HandAgent, piece
from tests.unit.central_core.test_gate import hello


async def stocked(desk: Desk, count: int) -> list[str]:
    codes = [piece(number) for number in range(count)]
    await desk.in_stock(STENT, codes, note="N-P")
    return codes


def pulls_of(desk: Desk) -> Pulls:
    pulls = Pulls(desk.publisher, has_room=lambda: True)
    desk.ingest._pulled = pulls.ask
    return pulls


async def test_facts_are_acked_while_pulls_wait(desk: Desk) -> None:
    codes = await stocked(desk, 3)
    pulls = pulls_of(desk)
    agents = [HandAgent(f"cabinet-{number}") for number in range(3)]
    letters = [agent.letter(Pull(after=0)) for agent in agents]
    taken = agents[2].batch(desk.fact(What.TAKEN, codes[0]))
    await desk.take([*letters, agents[2].letter(taken)])
    assert [ack.through for ack in desk.post.to("cabinet-2", Ack)] == [1]
    assert not any(desk.post.to(agent.device, Delta) for agent in agents)
    for count in (1, 2, 3):
        pulls.answer_one()
        assert [bool(desk.post.to(agent.device, Delta)) for agent in agents] == [n < count for n in range(3)]


async def test_what_many_ask_for_is_read_once_and_only_while_it_is_new(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stocked(desk, 5)
    read: list[int] = []
    delta = desk.publisher.delta

    def counted(after: int) -> Delta:
        read.append(after)
        return delta(after)

    monkeypatch.setattr(desk.publisher, "delta", counted)
    for number in range(20):
        desk.publisher.answer(f"cabinet-{number}", Pull(after=0))
    assert read == [0]
    answers = [desk.post.to(f"cabinet-{number}", Delta) for number in range(20)]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0].to == desk.ledger.version
    desk.clock.us += publish.SHARED_US
    await desk.in_stock(STENT, [piece(9)], note="N-Q")
    desk.publisher.answer("cabinet-0", Pull(after=0))
    assert desk.post.to("cabinet-0", Delta)[-1].to == desk.ledger.version


async def test_who_is_up_to_date_is_told_of_the_next_commit_at_once(desk: Desk) -> None:
    codes = await stocked(desk, 1)
    before = desk.ledger.version
    desk.publisher.answer("cabinet-1", Pull(after=before))
    desk.record(What.TAKEN, codes[0])
    desk.publisher.answer("cabinet-2", Pull(after=before))
    assert [delta.to for delta in desk.post.to("cabinet-2", Delta)] == [desk.ledger.version]


async def test_of_one_agent_the_furthest_pull_waits_and_an_old_one_said_again_does_not_displace_it(desk: Desk) -> None:
    await stocked(desk, 5)
    pulls = pulls_of(desk)
    for after in (0, 2, 1):
        pulls.ask("cabinet-1", Pull(after=after))
    pulls.answer_one()
    assert [delta.after for delta in desk.post.to("cabinet-1", Delta)] == [2]


async def test_rows_are_not_read_while_the_link_has_no_room(desk: Desk) -> None:
    await stocked(desk, 2)
    has_room = False
    pulls = Pulls(desk.publisher, has_room=lambda: has_room)
    running = asyncio.create_task(pulls.run())
    pulls.ask("cabinet-1", Pull(after=0))
    await asyncio.sleep(0.05)
    assert not desk.post.to("cabinet-1", Delta)
    has_room = True
    async with asyncio.timeout(5):
        while not desk.post.to("cabinet-1", Delta):  # noqa: ASYNC110 - it calls nobody here
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_hellos_of_a_whole_hospital_are_one_commit(desk: Desk) -> None:
    agents = [HandAgent(f"cabinet-{number}") for number in range(20)]
    before = desk.ledger.version
    met = desk.ledger.incarnation
    await desk.take([agent.letter(hello(agent, incarnation=met)) for agent in agents])
    assert desk.ledger.version == before + 1
    assert all(len(desk.post.to(agent.device, Welcome)) == 1 for agent in agents)


async def test_two_hellos_of_one_device_are_filed_one_after_the_other(desk: Desk) -> None:
    """The second start is judged by what the first one said."""
    agents = [HandAgent("cabinet-1"), HandAgent("cabinet-2"), HandAgent("cabinet-1")]
    before = desk.ledger.version
    met = desk.ledger.incarnation
    await desk.take([agent.letter(hello(agent, incarnation=met)) for agent in agents])
    assert desk.ledger.version == before + 2
    assert len(desk.post.to("cabinet-1", Welcome)) == 2


def test_recalls_leave_first_then_answers_and_of_too_many_broadcasts_the_oldest_goes() -> None:
    outgoing = link._Outgoing()
    sent = [outgoing.add(topics.BROADCAST, bytes([number])) for number in range(link.BROADCASTS + 2)]
    assert sent == [True] * link.BROADCASTS + [False] * 2
    assert outgoing.add(topics.down("cabinet-1"), b"ack")
    assert outgoing.add(topics.RECALLS, b"recall")
    left = [outgoing.get_nowait()[1] for _ in range(outgoing.qsize())]
    assert left == [b"recall", b"ack", *(bytes([number]) for number in range(2, link.BROADCASTS + 2))]


def test_what_waits_to_leave_is_bounded() -> None:
    outgoing = link._Outgoing()
    assert all(outgoing.add(topics.down("cabinet-1"), b"") for _ in range(link.OUTBOX))
    assert not outgoing.add(topics.down("cabinet-1"), b"")
    assert outgoing.qsize() == link.OUTBOX
