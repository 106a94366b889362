"""What is broken at the shelf is frozen there, and of units that no scan tells apart it is one that lies there."""

from msgspec.structs import replace

from edge_agent.workflows.verdicts import Result, Step
from sync_protocol.documents import OrderState
from sync_protocol.facts import What
from sync_protocol.items import State
from tests.unit.edge_work.test_handout import scan
from tests.unit.edge_work.ward import AMOXICILLIN, Ward, box_code, order, units


async def test_a_unit_that_a_ward_has_is_not_what_broke_at_the_shelf(ward: Ward) -> None:
    opened, *made = units(AMOXICILLIN, 9, locked=2, order="RX00001")
    lent = [replace(unit, state=State.LENT, holder="呼吸内科") for unit in made[2:]]
    await ward.load(items=(opened, *made[:2], *lent), orders=(order(1, AMOXICILLIN, 2, OrderState.LOCKED),))
    desk = ward.desk()
    desk.choose(Step.DAMAGE, choice="broken")
    asked = await desk.scan(scan(box_code(AMOXICILLIN, 9)))
    assert (asked.result, asked.total) == (Result.PROGRESS, len(made)), "one that came back broken can be registered"
    verdict = await desk.take(asked.asks, 1)
    assert (verdict.result, verdict.code) == (Result.DONE, made[1].code)
    assert [(fact.what, fact.codes) for fact in ward.facts()] == [(What.FROZEN, (made[1].code,))]
    assert {unit.state for unit in ward.stock.items([one.code for one in lent]).values()} == {State.LENT}
