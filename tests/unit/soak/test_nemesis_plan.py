"""What will go wrong follows from the seed, never overlaps on one line, and is over when the storm is."""

import pytest

from hardware_sims.soak.nemesis import Nemesis, draw
from hardware_sims.soak.site import agent_names

AGENTS = agent_names(5)


def test_names_are_those_of_a_small_hospital() -> None:
    assert AGENTS == ["station-1", "cabinet-1", "packager-1", "station-2", "station-3"]
    assert agent_names(7)[5:] == ["station-4", "cabinet-2"]


def test_the_same_seed_decides_the_same() -> None:
    assert draw(3, total_s=600, agents=AGENTS) == draw(3, total_s=600, agents=AGENTS)
    assert draw(3, total_s=600, agents=AGENTS) != draw(4, total_s=600, agents=AGENTS)


@pytest.mark.parametrize("seed", range(20))
def test_a_line_has_one_trouble_at_a_time_and_none_in_a_calm(seed: int) -> None:
    plan = draw(seed, total_s=600, agents=AGENTS)
    busy_s: dict[tuple[str, bool], float] = {}
    for decision in plan.decisions:
        key = decision.target, decision.nemesis in {Nemesis.KILL, Nemesis.PAUSE}
        assert decision.at_s >= busy_s.get(key, 0.0)
        busy_s[key] = decision.end_s
        assert not any(calm.from_s < decision.end_s and decision.at_s < calm.to_s for calm in plan.calms)
    assert len(plan.calms) == 10
    assert plan.decisions[-1].end_s <= 600.01


def test_ten_minutes_of_three_seeds_meet_every_trouble() -> None:
    met = {decision.nemesis for seed in (1, 2, 3) for decision in draw(seed, total_s=600, agents=AGENTS).decisions}
    assert met == set(Nemesis)
