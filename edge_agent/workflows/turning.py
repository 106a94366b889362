"""Documents that are scanned at a seat: a sheet of paper, a delivery note, an order, a requisition or transfer."""

from edge_agent.workflows.steps import Steps
from edge_agent.workflows.verdicts import TRANSFER_STEPS, Result, Step, Verdict
from sync_protocol.sheets import read_mark


def turned_to(steps: Steps, step: Step, text: str) -> Verdict | None:
    """The document whose number or symbol was scanned, where the step knows such; None: it was none. Raises Refuse."""
    mark = read_mark(text)
    if mark is not None:
        return steps.sheets.turn(mark)
    if step is Step.RECEIVE and steps.bench.stock.note(text) is not None:
        return _note(steps, text)
    if step is Step.RETURN and steps.returns.is_order(text):
        return _order(steps, text)
    if step in TRANSFER_STEPS and steps.transfers.find(text) is not None:
        return Verdict(result=Result.PROGRESS, step=step, document=text)
    return None


def _note(steps: Steps, text: str) -> Verdict:
    note = steps.receive.note(text)
    progress = steps.receive.progress(note)
    return Verdict(result=Result.PROGRESS, step=Step.RECEIVE, note=note.id, done=progress.done, total=progress.total)


def _order(steps: Steps, text: str) -> Verdict:
    """To take units of it back."""
    pick = steps.returns.pick(text)
    verdict = Verdict(result=Result.PROGRESS, step=Step.RETURN, order=text, asks=pick.id, total=len(pick.codes))
    return verdict.about(None, pick.product)
