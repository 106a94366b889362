"""The transition table of design.md §4, cell by cell: every fact against every state and kind."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.conservation import Imbalance, imbalance
from sync_protocol.facts import Fact, How, Moment, What
from sync_protocol.items import FINAL, LIVE, Item, Kind, State
from sync_protocol.lifecycle import MOVES, Reason, Refusal, apply, fold

TODAY = dt.datetime(2026, 11, 21, 4, 0, tzinfo=dt.UTC)
NOW = Moment(wall_us=int(TODAY.timestamp() * 1_000_000), mono_us=0)
EXPIRY = dt.date(2027, 12, 31)
CODE = "81000420000000012345"

S = State
# Said once more, by hand, from the table in design.md: (fact) -> {state before: state after}.
LEGAL: dict[What, dict[State, State]] = {
    What.RECEIVED: {S.EXPECTED: S.IN_STOCK},
    What.PRESCANNED: {S.IN_STOCK: S.OPENED},
    What.LOCKED: {S.IN_STOCK: S.LOCKED},
    What.UNLOCKED: {S.LOCKED: S.IN_STOCK},
    What.DISPENSED: dict.fromkeys((S.LOCKED, S.TAKEN, S.LENT, S.IN_STOCK), S.DISPENSED),
    What.RETURNED: {S.DISPENSED: S.IN_STOCK},
    What.TAKEN: {S.IN_STOCK: S.TAKEN},
    What.PUT_BACK: {S.TAKEN: S.IN_STOCK, S.AWAITING_PUT_BACK: S.IN_STOCK},
    What.ORDER_CANCELLED: {S.DISPENSED: S.AWAITING_PUT_BACK},
    What.LENT: {S.IN_STOCK: S.LENT},
    What.BOUND: {S.LENT: S.LENT},
    What.GIVEN_BACK: {S.LENT: S.IN_STOCK},
    What.TRANSFERRED_OUT: {S.IN_STOCK: S.IN_TRANSIT},
    What.TRANSFERRED_IN: {S.IN_TRANSIT: S.IN_STOCK},
    What.SENT_BACK: {S.IN_STOCK: S.RETURNED_TO_SUPPLIER},
    What.FROZEN: dict.fromkeys(LIVE - {S.FROZEN}, S.FROZEN),
    What.RELEASED: {S.FROZEN: S.IN_STOCK},
    What.WRITTEN_OFF: dict.fromkeys(LIVE, S.ABNORMAL),
    What.COUNTED: {state: state for state in State},
    What.PACKED: {S.LOCKED: S.LOCKED},
    What.RELABELLED: {state: state for state in State if state not in FINAL},
}
KIND_OF = {What.PRESCANNED: Kind.BOX, What.PACKED: Kind.UNIT, What.RELABELLED: Kind.PIECE}


def item(state: State, kind: Kind = Kind.BOX, **changes: object) -> Item:
    fields: dict[str, object] = {
        "code": CODE,
        "kind": kind,
        "product": "P1",
        "lot": "L1",
        "expiry": EXPIRY,
        "state": state,
        "location": "pharmacy",
        "document": "N1",
        "order": "RX1" if state in {S.LOCKED, S.LENT, S.DISPENSED} else "",
        "before": S.IN_STOCK if state is S.FROZEN else None,
    }
    return Item(**(fields | changes))  # type: ignore[arg-type]  # fields by name


def fact(what: What, **changes: object) -> Fact:
    fields: dict[str, object] = {
        "what": what,
        "codes": (CODE,),
        "at": NOW,
        "operator": "n1",
        "location": "pharmacy",
        "document": "N1",
        "order": "RX1",
        "how": How.LATE_SCAN,
        "product": "P1",
        "lot": "L1",
        "expiry": EXPIRY,
        "kind": Kind.BOX,
        "units": 10,
        "pouch": "PO1",
        "tag": "010011020000000F426A1E8B",
        "reason": "broken",
    }
    return Fact(**(fields | changes))  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("what", [w for w in What if w is not What.ANNOUNCED])
@pytest.mark.parametrize("state", list(State))
def test_every_cell_of_the_table(what: What, state: State) -> None:
    before = item(state, KIND_OF.get(what, Kind.BOX))
    after = apply(before, fact(what), CODE)
    if state in LEGAL[what]:
        assert isinstance(after, Item), after
        assert after.state is LEGAL[what][state]
    else:
        assert isinstance(after, Refusal)
        assert (after.code, after.what, after.state) == (CODE, what, state)
        assert after.expected


def test_the_table_names_every_fact() -> None:
    assert set(MOVES) == set(What)
    assert set(LEGAL) | {What.ANNOUNCED} == set(What)


@pytest.mark.parametrize("what", [w for w in What if w is not What.ANNOUNCED])
def test_an_unknown_code_fits_nothing_but_an_announcement(what: What) -> None:
    refusal = apply(None, fact(what), CODE)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNKNOWN_CODE


def test_an_announcement_makes_an_expected_item_once() -> None:
    made = apply(None, fact(What.ANNOUNCED, is_controlled=True), CODE)
    assert isinstance(made, Item)
    assert (made.state, made.product, made.lot, made.expiry) == (S.EXPECTED, "P1", "L1", EXPIRY)
    assert made.is_controlled
    again = apply(made, fact(What.ANNOUNCED), CODE)
    assert isinstance(again, Refusal)
    assert again.reason is Reason.ALREADY_KNOWN


@pytest.mark.parametrize(
    ("before", "said", "reason"),
    [
        (item(S.DISPENSED), fact(What.DISPENSED), Reason.ALREADY_DISPENSED),
        (item(S.OPENED), fact(What.PRESCANNED), Reason.ALREADY_OPENED),
        (item(S.IN_STOCK), fact(What.RECEIVED), Reason.ALREADY_RECEIVED),
        (item(S.FROZEN), fact(What.LOCKED), Reason.FROZEN),
        (item(S.DISPENSED, order="RX2"), fact(What.RETURNED), Reason.WRONG_ORDER),
        (item(S.ABNORMAL), fact(What.RETURNED), Reason.OUT_FOR_GOOD),
        (item(S.LOCKED, order="RX2"), fact(What.DISPENSED), Reason.WRONG_ORDER),
        (item(S.LOCKED, order="RX2"), fact(What.UNLOCKED), Reason.WRONG_ORDER),
        (item(S.LOCKED), fact(What.DISPENSED, product="P2"), Reason.WRONG_PRODUCT),
        (item(S.EXPECTED), fact(What.RECEIVED, document="N2"), Reason.WRONG_DOCUMENT),
        (item(S.LENT, order=""), fact(What.DISPENSED), Reason.NOT_BOUND),
        (item(S.IN_STOCK), fact(What.DISPENSED, how=How.SCAN), Reason.WRONG_STATE),
        (item(S.IN_STOCK, Kind.UNIT), fact(What.PRESCANNED), Reason.WRONG_KIND),
        (item(S.IN_STOCK, expiry=dt.date(2026, 11, 20)), fact(What.LOCKED), Reason.EXPIRED),
        (item(S.LOCKED, is_controlled=True), fact(What.DISPENSED), Reason.SECOND_PERSON),
        (item(S.LOCKED, is_controlled=True), fact(What.DISPENSED, witness="n1"), Reason.SECOND_PERSON),
    ],
)
def test_a_refusal_says_what_disagrees(before: Item, said: Fact, reason: Reason) -> None:
    refusal = apply(before, said, CODE)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason


def test_a_drug_may_be_used_on_the_day_it_expires_by_hospital_time() -> None:
    """04:00 UTC is noon in Shanghai; 17:00 UTC is already tomorrow there."""
    today = item(S.IN_STOCK, expiry=dt.date(2026, 11, 21))
    assert isinstance(apply(today, fact(What.LOCKED), CODE), Item)
    evening = Moment(wall_us=NOW.wall_us + 13 * 3_600_000_000, mono_us=0)
    assert isinstance(apply(today, fact(What.LOCKED, at=evening), CODE), Refusal)


def test_two_people_make_a_controlled_step_legal() -> None:
    after = apply(item(S.LOCKED, is_controlled=True), fact(What.DISPENSED, witness="n2"), CODE)
    assert isinstance(after, Item)


def test_a_prescan_turns_one_box_into_units_that_inherit_from_it() -> None:
    outcome = fold(fact(What.PRESCANNED, units=3), {CODE: item(S.IN_STOCK)})
    box, *units = outcome.items
    assert (box.state, box.units) == (S.OPENED, 3)
    assert [unit.code for unit in units] == [f"{CODE}#001", f"{CODE}#002", f"{CODE}#003"]
    assert {(u.kind, u.state, u.product, u.lot, u.expiry, u.box) for u in units} == {
        (Kind.UNIT, S.IN_STOCK, "P1", "L1", EXPIRY, CODE)
    }
    assert imbalance(box, units) is None


@pytest.mark.parametrize("what", [What.FROZEN, What.WRITTEN_OFF])
def test_the_units_of_an_opened_box_balance_whatever_becomes_of_its_carton(what: What) -> None:
    box, *units = fold(fact(What.PRESCANNED, units=3), {CODE: item(S.IN_STOCK)}).items
    carton = apply(box, fact(what, reason="wet"), CODE)
    assert isinstance(carton, Item)
    assert imbalance(carton, units) is None
    assert imbalance(carton, units[1:]) == Imbalance(box=CODE, expected=3, found=2)


def test_the_units_of_a_frozen_box_still_add_up_and_a_missing_one_shows() -> None:
    box, *units = fold(fact(What.PRESCANNED, units=3), {CODE: item(S.IN_STOCK)}).items
    frozen = apply(box, fact(What.FROZEN), CODE)
    assert isinstance(frozen, Item)
    assert imbalance(frozen, units) is None
    broken = imbalance(frozen, units[1:])
    assert broken is not None
    assert (broken.expected, broken.found) == (3, 2)
    assert imbalance(item(S.IN_STOCK), []) is None


def test_one_bad_code_never_blocks_the_others() -> None:
    other = "81000420000000099999"
    outcome = fold(fact(What.TAKEN, codes=(CODE, other)), {other: item(S.IN_STOCK, code=other)})
    assert [(i.code, i.state, i.holder) for i in outcome.items] == [(other, S.TAKEN, "n1")]
    assert [(r.code, r.reason) for r in outcome.refusals] == [(CODE, Reason.UNKNOWN_CODE)]


def test_a_release_goes_back_to_the_state_before_the_freeze() -> None:
    locked = item(S.LOCKED)
    frozen = apply(locked, fact(What.FROZEN), CODE)
    assert isinstance(frozen, Item)
    assert apply(frozen, fact(What.RELEASED), CODE) == locked


def test_going_back_to_stock_frees_order_holder_and_pouch() -> None:
    back = apply(item(S.DISPENSED, order="RX1", pouch="PO1", holder="x"), fact(What.RETURNED, location="bin-3"), CODE)
    assert isinstance(back, Item)
    assert (back.order, back.pouch, back.holder, back.location) == ("", "", "", "bin-3")


@given(st.lists(st.tuples(st.sampled_from(list(What)), st.integers(0, 3)), max_size=40))
def test_no_sequence_of_facts_ever_loses_or_makes_a_unit(steps: list[tuple[What, int]]) -> None:
    stock: dict[str, Item] = {CODE: item(S.IN_STOCK)}
    for what, which in [(What.PRESCANNED, 3), *steps]:
        code = CODE if which == 3 else f"{CODE}#00{which + 1}"
        outcome = fold(fact(what, codes=(code,), units=3), stock)
        stock |= {changed.code: changed for changed in outcome.items}
    units = [i for i in stock.values() if i.kind is Kind.UNIT]
    assert len(units) == 3
    assert all(i.product == "P1" and i.box == CODE for i in units)
    assert stock[CODE].state in {S.OPENED, S.FROZEN, S.ABNORMAL}
