"""All mutants, and the hunt for each: seeds from the first on until one finds it."""

import msgspec

from tests.simulation.mutant import Mutant
from tests.simulation.mutants_central import CENTRAL
from tests.simulation.mutants_down import DOWN
from tests.simulation.mutants_lease import LEASES
from tests.simulation.mutants_recalls import RECALLS
from tests.simulation.mutants_up import UP
from tests.simulation.plan import make_plan
from tests.simulation.simulation import run_plan

MUTANTS: dict[str, Mutant] = {mutant.name: mutant for mutant in (*UP, *DOWN, *CENTRAL, *RECALLS, *LEASES)}
MOST_SEEDS = 200


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """``seeds``: how many it took; 0: the mutant lives."""

    name: str
    seeds: int
    seed: int
    rule: str
    detail: str


def hunt(name: str, *, first: int, most: int = MOST_SEEDS) -> Kill:
    mutant = MUTANTS[name]
    for seed in range(first, first + most):
        plan = make_plan(seed)
        with mutant.applied():
            report = run_plan(plan, arm=mutant.arm)
        if report.rule:
            seeds = seed - first + 1
            return Kill(name=name, seeds=seeds, seed=seed, rule=report.rule, detail=report.detail)
    return Kill(name=name, seeds=0, seed=0, rule="", detail="")
