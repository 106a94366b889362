"""A12 over a real broker and central: vended with the network cut, and in the ledger and at the insurer later."""

from pathlib import Path

import pytest

from edge_agent.notify import Notifier
from edge_agent.workflows.bench import Bench
from edge_agent.workflows.vending import Vend, Vending
from hardware_sims.broker import Broker
from sync_protocol.items import State
from tests.integration.recalls.house import Agent, House, box, until

pytestmark = pytest.mark.mosquitto
BOXES = tuple(box(number) for number in range(1, 4))


@pytest.mark.covers("A12")
async def test_a_vend_with_the_network_cut_is_in_the_ledger_later(house: House, broker: Broker, tmp_path: Path) -> None:
    with Agent(tmp_path, broker.port) as agent:
        async with agent.online():
            await agent.receive(house, *BOXES)
            await until(lambda: agent.recorder.rights.may_issue(BOXES) and agent.stock.version == house.version)
        vending = Vending(Bench(recorder=agent.recorder, stock=agent.stock, notifier=Notifier()))
        vend = Vend(id="V-1", machine="adc-1", product="ASP", quantity=1, operator="N1", order="YZ-1")
        vended, _ = await vending.record(vend)
        assert (vended.codes, vended.reasons, agent.waiting) == (BOXES[:1], (), 1)
        lent, _ = await vending.record(
            Vend(id="V-2", machine="adc-1", product="ASP", quantity=3, operator="N1", ward="ICU")
        )
        assert (lent.codes, lent.without_code) == (BOXES[1:], 1)
        assert (await vending.record(vend))[1]
        async with agent.online():
            await until(lambda: agent.waiting == 0)
            item = agent.stock.item(BOXES[0])
            assert item is not None
            assert (item.state, item.order) == (State.DISPENSED, "YZ-1")
    central = house.central
    assert central.rows("SELECT order_id, box, quantity FROM insurer_row") == [("YZ-1", BOXES[0], 1)]
    assert central.rows("SELECT state, count(*) FROM item GROUP BY 1 ORDER BY 1") == [("dispensed", 1), ("lent", 2)]
    ((code, reason),) = central.rows("SELECT code, reason FROM exception")
    assert (code, reason) == ("no-code:adc-1:V-2:1", "unknown_code"), "what has no code is on the work list"
