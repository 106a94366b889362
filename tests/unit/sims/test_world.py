"""The simulated hospital before anything moves, and the physics that its staff obey."""

import datetime as dt
from pathlib import Path

import pytest

from hardware_sims.catalogue import CATALOGUE, Symbol, piece_epc, with_check_digit
from hardware_sims.scenarios.plan import DRUG_NOTE, PIECE_NOTES, draw
from hardware_sims.truth import PhysicsError, Spot, Truth
from sync_protocol.codes import parse_scan

TODAY = dt.date(2026, 11, 21)


def test_a_seed_draws_the_same_morning() -> None:
    assert draw(7, today=TODAY) == draw(7, today=TODAY)
    assert draw(7, today=TODAY).truth != draw(8, today=TODAY).truth


def test_the_morning_is_as_large_as_promised() -> None:
    plan = draw(7, today=TODAY)
    assert len(CATALOGUE) >= 12
    assert len(plan.truth.boxes) >= 40
    assert len(plan.truth.pieces) == 40
    assert len(plan.truth.orders) >= 80
    assert {line.kind for line in plan.truth.orders.values()} == {"long_term", "stat", "discharge"}


@pytest.mark.parametrize("seed", range(1, 21))
def test_there_is_enough_for_every_order(seed: int) -> None:
    plan = draw(seed, today=TODAY)
    units: dict[str, int] = {}
    for box in plan.truth.boxes.values():
        if box.code != plan.expired:
            units[box.product] = units.get(box.product, 0) + box.content
    for line in plan.truth.orders.values():
        units[line.product] -= line.quantity
    assert min(units.values()) >= 0


def test_every_label_reads_as_the_code_of_its_note() -> None:
    plan = draw(7, today=TODAY)
    symbols = set()
    for box in plan.truth.boxes.values():
        code = parse_scan(box.symbol, today=TODAY)
        assert code.key == box.code
        assert code.warnings == ()
        symbols.add(code.form)
    assert len(symbols) == 2
    assert {good.symbol for good in CATALOGUE} == set(Symbol)
    for piece in plan.truth.pieces.values():
        assert parse_scan(piece.code.encode(), today=TODAY).key == piece.code


def test_notes_name_every_package_once() -> None:
    plan = draw(7, today=TODAY)
    codes = {note["id"]: [code for line in note["lines"] for code in line["codes"]] for note in plan.notes}  # type: ignore[attr-defined]
    assert sorted(codes[DRUG_NOTE]) == sorted(plan.truth.boxes)
    assert sorted(codes[PIECE_NOTES[0]] + codes[PIECE_NOTES[1]]) == sorted(plan.truth.pieces)
    assert plan.truth.boxes[plan.expired].expiry < TODAY


def test_published_codes_are_made_as_published() -> None:
    assert piece_epc(1_000_042) == "010011020000000F426A1E8B"
    assert with_check_digit("0690123456789") == "06901234567892"


def test_physics_holds() -> None:
    plan = draw(7, today=TODAY)
    truth, box = plan.truth, plan.truth.boxes[next(iter(plan.truth.boxes))]
    with pytest.raises(PhysicsError):
        truth.open_box(box.code)
    truth.deliver(box.code)
    truth.open_box(box.code)
    truth.give_units(box.code, "YZ000001", box.content)
    with pytest.raises(PhysicsError, match="only 0 are left"):
        truth.give_units(box.code, "YZ000001", 1)
    with pytest.raises(PhysicsError):
        truth.give_box(box.code, "YZ000001")
    assert truth.handed_out("YZ000001") == box.content
    piece = next(iter(truth.pieces))
    truth.deliver(piece)
    truth.take_piece(piece, "hs01")
    with pytest.raises(PhysicsError):
        truth.take_piece(piece, "hs02")
    truth.use_piece(piece)
    assert truth.pieces_at(Spot.PATIENT) == [piece]
    with pytest.raises(PhysicsError):
        truth.put_back_piece(piece)
    with pytest.raises(PhysicsError, match="there is no piece"):
        truth.take_piece("nothing", "hs01")


def test_truth_survives_its_file(tmp_path: Path) -> None:
    truth = draw(7, today=TODAY).truth
    truth.save(tmp_path / "truth.json")
    assert Truth.load(tmp_path / "truth.json") == truth
