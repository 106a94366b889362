import datetime as dt

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sync_protocol.digests import BUCKETS, add, bucket_of, differing, digests_of, empty, remove, row_digest
from sync_protocol.items import Item, Kind, State

ITEM = Item(
    code="81000420000000012345", kind=Kind.BOX, product="P1", lot="L1", expiry=dt.date(2030, 1, 1), state=State.IN_STOCK
)


def test_the_digest_of_a_row_is_the_published_one() -> None:
    """Golden: two versions of the software in the field must agree."""
    assert bucket_of(ITEM.code) == 238
    assert row_digest(ITEM) == 14425796165061683250


def test_codes_spread_over_all_buckets() -> None:
    filled = {bucket_of(f"8100042{n:013d}") for n in range(5_000)}
    assert len(filled) == BUCKETS


@given(st.permutations([msgspec.structs.replace(ITEM, code=f"c{n}") for n in range(12)]))
def test_the_order_of_rows_does_not_matter(items: list[Item]) -> None:
    assert digests_of(items) == digests_of(sorted(items, key=lambda item: item.code))


def test_a_row_can_be_replaced_without_reading_the_others() -> None:
    others = [msgspec.structs.replace(ITEM, code=f"c{n}") for n in range(50)]
    before, after = ITEM, msgspec.structs.replace(ITEM, state=State.LOCKED, order="RX1")
    kept = empty()
    for item in [*others, before]:
        add(kept, item)
    remove(kept, before)
    add(kept, after)
    assert tuple(kept) == digests_of([*others, after])


def test_every_difference_of_a_row_shows_in_its_bucket_alone() -> None:
    changes: list[dict[str, object]] = [
        {"state": State.LOCKED},
        {"order": "RX"},
        {"location": "w"},
        {"lot": "L2"},
        {"expiry": dt.date(2030, 1, 2)},
        {"box": "b"},
        {"units": 3},
        {"pouch": "p"},
        {"holder": "n"},
        {"tag": "t"},
        {"before": State.LOCKED},
    ]
    for change in changes:
        other = msgspec.structs.replace(ITEM, **change)
        assert differing(digests_of([ITEM]), digests_of([other])) == (bucket_of(ITEM.code),), change


def test_a_field_that_only_newer_software_knows_changes_nothing() -> None:
    newer = [*msgspec.to_builtins(ITEM), "a field of the future"]
    assert row_digest(msgspec.convert(newer, Item)) == row_digest(ITEM)
