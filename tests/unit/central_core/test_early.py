"""Facts that pass a backlog on the way: held beside the ledger, and let in when what came before them is there."""

import random

import msgspec
import pytest

from sync_protocol.facts import Fact, What
from sync_protocol.items import State
from sync_protocol.messages import Ack, Batch, Parted
from tests.unit.central_core.desk import STENT, Desk, HandAgent, piece

CODES = [piece(number) for number in range(40)]


async def stocked(desk: Desk) -> None:
    await desk.catalogue()
    await desk.in_stock(STENT, CODES, note="N-1")


def early(agent: HandAgent, *facts: Fact) -> Batch:
    return msgspec.structs.replace(agent.batch(*facts), is_early=True)


@pytest.mark.fault(29)
async def test_early_facts_are_held_and_enter_when_the_backlog_is_whole(desk: Desk) -> None:
    await stocked(desk)
    old = HandAgent("cabinet-1")
    backlog = [old.batch(desk.fact(What.TAKEN, code)) for code in CODES[:4]]
    live = HandAgent("cabinet-1", parent=old)
    (held,) = await desk.send(live, early(live, *(desk.fact(What.PUT_BACK, code) for code in CODES[:2])))
    assert (held.through, held.held, held.exceptions) == (0, 2, ())
    assert desk.state(CODES[0]) is State.IN_STOCK
    await desk.send(old, *backlog[:3])
    (held,) = await desk.send(live, early(live, desk.fact(What.PUT_BACK, CODES[3])))
    assert (held.through, held.held) == (0, 3)
    await desk.send(old, backlog[3])
    assert desk.post.to("cabinet-1", Ack)[-1].through == 3
    assert [desk.state(code) for code in CODES[:4]] == [State.IN_STOCK, State.IN_STOCK, State.TAKEN, State.IN_STOCK]
    assert desk.rows("SELECT count(*) FROM exception") == [(0,)], "no false exception"
    assert desk.rows("SELECT count(*) FROM early") == [(0,)]


async def test_the_ledger_is_row_by_row_as_if_they_had_come_in_order(desk: Desk) -> None:
    """Whatever the order of arrival of two sessions, their facts stand in it as they were recorded."""
    await stocked(desk)
    chance = random.Random(5)
    for device in range(8):
        old, sent = HandAgent(f"cabinet-{device}"), []
        codes = CODES[device * 5 : device * 5 + 5]
        moves = [(code, what) for what in (What.TAKEN, What.PUT_BACK, What.TAKEN) for code in codes]
        sent = [old.batch(desk.fact(what, code)) for code, what in moves[:8]]
        live = HandAgent(f"cabinet-{device}", parent=old)
        sent_live = [early(live, desk.fact(what, code)) for code, what in moves[8:]]
        order = [0] * len(sent) + [1] * len(sent_live)
        chance.shuffle(order)
        lanes = [iter(sent), iter(sent_live)]
        for lane in order:
            await desk.send(old, next(lanes[lane]))
        rows = desk.rows("SELECT session, seq FROM fact WHERE device = ? ORDER BY position", old.device)
        assert rows == [
            *((old.start.session, seq) for seq in range(1, 9)),
            *((live.start.session, seq) for seq in range(1, 8)),
        ]
    assert desk.rows("SELECT count(*) FROM exception") == [(0,)]
    assert desk.states() == {State.TAKEN: 40}


async def test_a_third_session_waits_for_the_second_and_a_restart_of_central_forgets_nothing(desk: Desk) -> None:
    await stocked(desk)
    old = HandAgent("cabinet-1")
    backlog = old.batch(desk.fact(What.TAKEN, CODES[0]))
    second = HandAgent("cabinet-1", parent=old)
    first_live = early(second, desk.fact(What.PUT_BACK, CODES[0]))
    third = HandAgent("cabinet-1", parent=second)
    await desk.send(third, early(third, desk.fact(What.TAKEN, CODES[0])))
    await desk.send(second, first_live)
    desk.early._read()
    assert [desk.early.through(agent.start.session) for agent in (second, third)] == [1, 1]
    await desk.send(old, backlog)
    positions = desk.rows("SELECT session FROM fact WHERE device = 'cabinet-1' ORDER BY position")
    assert [session for (session,) in positions] == [one.start.session for one in (old, second, third)]


async def test_a_gap_or_a_fork_of_what_is_held_is_not_taken(desk: Desk) -> None:
    await stocked(desk)
    old = HandAgent("cabinet-1")
    old.batch(desk.fact(What.TAKEN, CODES[0]))
    live = HandAgent("cabinet-1", parent=old)
    one, lost, three = (early(live, desk.fact(What.PUT_BACK, code)) for code in CODES[:3])
    for batch, through in ((one, 1), (three, 1), (one, 1), (lost, 2), (three, 3)):
        (ack,) = await desk.send(live, batch)
        assert ack.held == through
    forked = HandAgent("cabinet-1", parent=old, session=live.start.session)
    assert await desk.send(forked, early(forked, desk.fact(What.TAKEN, CODES[9]))) == []
    told = Parted(session=live.start.session, seq=0, hash=live.start.hash, incarnation=desk.ledger.incarnation)
    assert desk.post.to("cabinet-1", Parted) == [told]


async def test_an_agent_that_has_nothing_older_left_lets_them_in(desk: Desk) -> None:
    """Its backlog was pruned or is lost: facts are never refused for it."""
    await stocked(desk)
    old = HandAgent("cabinet-1")
    old.batch(desk.fact(What.COUNTED, CODES[0]))
    live = HandAgent("cabinet-1", parent=old)
    batch = live.batch(desk.fact(What.TAKEN, CODES[1]))
    await desk.send(live, msgspec.structs.replace(batch, is_early=True))
    assert desk.state(CODES[1]) is State.IN_STOCK
    await desk.send(live, batch)
    assert desk.state(CODES[1]) is State.TAKEN
    assert desk.rows("SELECT count(*) FROM early") == [(0,)]
