"""Python looks for cycles between commits, and goes on to do so whatever becomes of one."""

import gc

import pytest

from central.ledger.transaction import Transaction
from sync_protocol.facts import What
from tests.unit.central_core.desk import STENT, Desk, piece


class OtherError(Exception):
    pass


async def test_cycles_are_looked_for_again_after_every_commit_also_one_that_never_was(desk: Desk) -> None:
    seen: list[bool] = []

    def work(_transaction: Transaction) -> None:
        seen.append(gc.isenabled())
        raise OtherError

    await desk.in_stock(STENT, [piece(1)], note="N-P")
    assert gc.isenabled()
    with pytest.raises(OtherError):
        desk.ledger.commit(work)
    assert seen == [False]
    assert gc.isenabled()


async def test_who_has_it_switched_off_finds_it_so(desk: Desk) -> None:
    await desk.in_stock(STENT, [piece(1)], note="N-P")
    gc.disable()
    try:
        desk.record(What.TAKEN, piece(1))
        assert not gc.isenabled()
    finally:
        gc.enable()
