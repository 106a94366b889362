"""The simulated fleet; and that the simulation can be trusted: it repeats itself and finds what is wrong.

`make simulate` and `make mutants` do the same at length.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest

from tests.simulation import cases, simulation
from tests.simulation.disk import GONE, Disk
from tests.simulation.mutants import MUTANTS, hunt
from tests.simulation.nemesis import CENTRAL_POINTS, EDGE_POINTS
from tests.simulation.network import FAIR
from tests.simulation.perils import Killed
from tests.simulation.plan import NEMESES, OFFICE, WORK, Bounds, Decision, Plan, make_plan
from tests.simulation.run import Task, _spread, main, run_task
from tests.simulation.scheduler import SECOND_US
from tests.simulation.shrink import shrink
from tests.simulation.simulation import Simulation, run_plan

RUN = Path(__file__).with_name("run.py")
CASES = cases.load()
QUICKLY_FOUND = ("puback_is_ack", "ack_highest", "no_dedupe", "off_cursor", "overlay_dropped_on_ack", "dispensed_twice")


@pytest.mark.parametrize("seed", range(1_001, 1_013))
def test_nothing_is_lost_doubled_or_forgotten_whatever_goes_wrong(seed: int) -> None:
    report = run_plan(make_plan(seed))
    assert report.rule == "", report.detail
    assert report.facts > 0


@pytest.mark.parametrize("seed", [2_001, 2_002, 2_003])
def test_the_shipped_stores_hold_too(seed: int) -> None:
    report = run_plan(make_plan(seed), store="sqlite")
    assert report.rule == "", report.detail
    assert report.facts > 0


@pytest.mark.covers("X17")
def test_a_seed_is_a_run_in_any_process() -> None:
    assert _trace("1", seeds=2) == _trace("2", seeds=2) != _trace("1", seeds=1)


def _trace(hash_seed: str, *, seeds: int) -> str:
    """What the first seeds leave as their trace, in a process that orders its sets by ``hash_seed``."""
    done = subprocess.run(
        [sys.executable, RUN, "--seeds", str(seeds), "--first", "1", "--jobs", "1"],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        check=True,
        timeout=100,
        text=True,
    )
    return done.stdout.partition("trace=")[2].split()[0]


@pytest.mark.parametrize("name", CASES)
def test_what_failed_once_does_not_fail_again(name: str) -> None:
    case = CASES[name]
    report = run_plan(case.plan, store=case.store)
    assert report.rule == "", report.detail


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.mutant])
def test_the_few_decisions_of_a_case_still_find_its_mutant(name: str) -> None:
    case = CASES[name]
    mutant = MUTANTS[case.mutant]
    with mutant.applied():
        report = run_plan(case.plan, store=case.store, arm=mutant.arm)
    assert report.rule == case.rule


@pytest.mark.fault(31)
def test_an_ack_before_its_commit_is_found() -> None:
    kill = hunt("ack_before_commit", first=1, most=20)
    assert kill.seeds, MUTANTS["ack_before_commit"].wrong


@pytest.mark.covers("X17")
@pytest.mark.parametrize("name", QUICKLY_FOUND)
def test_a_wrong_protocol_is_found(name: str) -> None:
    kill = hunt(name, first=1, most=10)
    assert kill.seeds, f"{name} lives: {MUTANTS[name].wrong}"


def test_a_failing_run_is_made_small() -> None:
    task = Task(seed=2, store="dict", mutant="misfit_unsaid")
    whole = task.plan()
    plan = msgspec.structs.replace(whole, decisions=whole.decisions[:120])
    rule = run_task(task, plan).rule
    assert rule

    def breaks(candidate: Plan) -> bool:
        return run_task(task, candidate).rule == rule

    small = shrink(plan, breaks, seconds=50)
    assert breaks(small)
    assert len(small.decisions) <= 30
    assert not run_plan(small).rule


def test_every_step_where_a_process_may_die_is_on_the_way() -> None:
    seen: list[Simulation] = []
    run_plan(make_plan(1_001), arm=seen.append)
    passed = set(seen[0].central.perils.passed)
    for node in seen[0].nodes:
        passed |= set(node.perils.passed)
    assert passed >= {*EDGE_POINTS, *CENTRAL_POINTS}


def test_every_act_and_every_fault_is_chosen_by_some_seed() -> None:
    plans = [make_plan(seed) for seed in range(1, 101)]
    chosen = {decision.what for plan in plans for decision in plan.decisions}
    assert chosen >= {*WORK, *OFFICE}
    assert {name for plan in plans for name in plan.nemeses} == set(NEMESES)


@pytest.mark.parametrize(("again_s", "centrals"), [(40, 1), (120, 2)])
def test_a_machine_comes_up_again_as_an_older_central_if_it_ever_started_with_its_ledger(
    again_s: int, centrals: int
) -> None:
    decisions = (
        Decision(SECOND_US, "announce"),
        Decision(10 * SECOND_US, "back_up"),
        Decision(30 * SECOND_US, "restore_central", pick=0.0, more=0.5, long_us=20 * SECOND_US),
        Decision(again_s * SECOND_US, "restore_central", pick=0.7, more=0.5, long_us=20 * SECOND_US),
    )
    plan = Plan(seed=1, edges=1, locations=1, minutes=5, weather=FAIR, bounds=Bounds(), decisions=decisions)
    seen: list[Simulation] = []
    report = run_plan(plan, arm=seen.append)
    assert report.rule == "", report.detail
    assert len(seen[0].centrals.all) == centrals


@pytest.mark.parametrize(("computers", "counted", "rule"), [(2, 400, ""), (1, 4_000, "liveness")])
def test_only_two_computers_of_one_name_get_more_time_as_long_as_facts_come(
    monkeypatch: pytest.MonkeyPatch, computers: int, counted: int, rule: str
) -> None:
    monkeypatch.setattr(simulation, "HEAL_US", 20 * SECOND_US)
    decisions = (
        Decision(SECOND_US, "announce"),
        Decision(10 * SECOND_US, "receive"),
        Decision(20 * SECOND_US, "partition", pick=0.99, long_us=300 * SECOND_US),
        *([Decision(21 * SECOND_US, "clone")] if computers > 1 else []),
        Decision(22 * SECOND_US, "stocktake", long_us=counted),
    )
    bounds = Bounds(room=0, least_credit=1)
    plan = Plan(seed=1, edges=1, locations=1, minutes=1, weather=FAIR, bounds=bounds, decisions=decisions)
    seen: list[Simulation] = []
    report = run_plan(plan, arm=seen.append)
    assert report.rule == rule, report.detail
    assert len(seen[0].nodes) == computers
    assert seen[0].central.watch.life.position > 100
    assert (report.virtual_us > 100 * SECOND_US) == (computers > 1)


def test_a_death_outside_a_turn_of_its_node_is_a_finding() -> None:
    def die(simulation: Simulation) -> None:
        vars(simulation.scheduler)["run"] = _die

    report = run_plan(make_plan(1), arm=die)
    assert (report.rule, "outside its node's turn" in report.detail) == ("Killed", True)


def _die(*_: object, **__: object) -> None:
    raise Killed("edge.send")


def test_a_process_of_the_hunt_that_dies_ends_it_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        list(_spread(os._exit, [3], 2))
    assert end.value.code == 1
    assert capsys.readouterr().out.startswith("FAILED: a process died")


def test_a_disk_without_power_keeps_whole_transactions_from_the_front() -> None:
    for chance in range(20):
        disk = Disk("table")
        disk.write([("table", "a", 1), ("table", "b", 1)])
        disk.sync()
        disk.write([("table", "a", 2), ("table", "b", GONE)])
        disk.write([("table", "c", 3)])
        disk.lose_power(Random(chance))
        assert disk.tables["table"] in ({"a": 1, "b": 1}, {"a": 2}, {"a": 2, "c": 3})


def test_the_command_says_its_figures_last_and_fails_only_if_a_seed_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2", "--first", "3", "--jobs", "1"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"seeds=2 events=\d+ failures=0 events_per_min=\d+", last)
    assert main(["--seeds", "1", "--first", "1", "--jobs", "1", "--mutant", "puback_is_ack"]) == 1
    assert "failures=1" in capsys.readouterr().out
    assert main(["--mutants", "puback_is_ack", "--jobs", "1"]) == 0
    assert re.search(r"puback_is_ack +killed after +[12] ", capsys.readouterr().out)
