"""What is this? A scan tells what is known of a code, and changes nothing."""

from edge_agent.workflows.bench import Bench
from edge_agent.workflows.verdicts import Result, Step, Verdict
from sync_protocol.codes import Code


class LookUp:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def scan(self, code: Code) -> Verdict:
        """Raises Refuse for a code that is not known, or disagrees with its own label."""
        item = self._bench.item(code)
        verdict = Verdict(
            result=Result.TOLD,
            step=Step.LOOK_UP,
            code=item.code,
            state=item.state,
            place=item.holder or item.location,
            order=item.order,
            note=item.document,
        )
        return verdict.about(item, self._bench.stock.product(item.product))
