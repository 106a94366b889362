import datetime as dt

import msgspec
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from sync_protocol import codec, topics
from sync_protocol.chain import SessionStart, link, seal, stretch, verify
from sync_protocol.errors import ChainError, FactError, ProtocolError, WireError
from sync_protocol.facts import MAX_CODES, Fact, FactId, Moment, What
from sync_protocol.messages import Ack, Batch, Delta, Hello, Pull, Refused, Rows, Welcome

AT = Moment(wall_us=1_795_233_600_000_000, mono_us=5)
START = SessionStart(device="station-1", session=b"s" * 16)


def counted(*codes: str) -> Fact:
    return Fact(what=What.COUNTED, codes=codes or ("c1",), at=AT)


def test_the_first_hash_of_a_session_is_the_published_one() -> None:
    """Golden value: an agent in the field and central must agree on it for ever."""
    assert START.hash.hex() == "75bd8730b18c8877f3aca7ca5d6ed2a39b61d6c8c40c609c2b3c20fc8e98e82e"
    body = codec.encode_fact(counted("c1"))
    assert body.startswith(bytes.fromhex("dc00"))
    assert link(START.hash, b"body").hex() == "3c2ec03c997ce96a2b5de4c26a3d127661d1865da459b8297227d7dfcbb54096"
    assert seal(START, 1, START.hash, body).hash == link(START.hash, body)


def test_a_chain_breaks_at_an_edit_a_cut_and_a_swap() -> None:
    facts = []
    previous = START.hash
    for seq in range(1, 6):
        sealed = seal(START, seq, previous, codec.encode_fact(counted(f"c{seq}")))
        previous = sealed.hash
        facts.append(sealed)
    assert verify(START.hash, facts) == previous
    edited = [*facts]
    edited[2] = msgspec.structs.replace(edited[2], body=codec.encode_fact(counted("other")))
    for broken in (edited, facts[:2] + facts[3:], [facts[1], facts[0], *facts[2:]]):
        with pytest.raises(ChainError):
            verify(START.hash, broken)


def test_a_stretch_is_the_facts_that_are_sealed_one_by_one() -> None:
    bodies = [codec.encode_fact(counted(f"c{seq}")) for seq in range(4, 9)]
    facts, previous = [], b"h" * 32
    for seq, body in enumerate(bodies, start=4):
        facts.append(seal(START, seq, previous, body))
        previous = facts[-1].hash
    whole = stretch(START, 4, b"h" * 32, iter(bodies))
    assert [*whole] == facts
    assert (len(whole), whole[2], whole[-1]) == (5, facts[2], facts[4])
    assert verify(b"h" * 32, [*whole]) == whole.hashes[-1]
    with pytest.raises(IndexError):
        whole[5]


def test_two_sessions_of_one_device_never_share_a_first_hash() -> None:
    child = SessionStart(
        device="station-1", session=b"t" * 16, parent_session=b"s" * 16, parent_seq=3, parent_hash=b"h" * 32
    )
    assert child.hash != START.hash
    assert child.hash != msgspec.structs.replace(child, parent_seq=2).hash


def test_a_fact_survives_its_bytes_and_unknown_fields_after_it() -> None:
    fact = Fact(
        what=What.ANNOUNCED,
        codes=("c1", "c2"),
        at=AT,
        document="N1",
        product="P1",
        lot="L",
        expiry=dt.date(2028, 2, 29),
        location="pharmacy",
        kind="box",  # type: ignore[arg-type]  # read back as the enum
    )
    body = codec.encode_fact(fact)
    assert codec.decode_fact(body).codes == ("c1", "c2")
    newer = msgspec.msgpack.encode([*msgspec.msgpack.decode(body), "a field of the future"])
    assert codec.decode_fact(newer) == codec.decode_fact(body)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"codes": ()}, "codes"),
        ({"codes": tuple(f"c{n}" for n in range(MAX_CODES + 1))}, "codes"),
        ({"codes": ("c1", "c1")}, "codes"),
        ({"codes": ("",)}, "codes"),
        ({"reason": "x" * 257}, "reason"),
        ({"units": 10_000}, "units"),
        ({"what": What.LOCKED}, "order"),
        ({"what": What.RECEIVED, "document": "N1"}, "location"),
        ({"what": What.PRESCANNED}, "units"),
        ({"what": What.WRITTEN_OFF}, "reason"),
        ({"what": What.ANNOUNCED}, "document"),
    ],
)
def test_a_fact_that_cannot_be_is_refused_at_birth_and_on_arrival(changes: dict[str, object], field: str) -> None:
    with pytest.raises(FactError) as born:
        Fact(**({"what": What.COUNTED, "codes": ("c1",), "at": AT} | changes))  # type: ignore[arg-type]
    assert born.value.field == field
    fields = msgspec.structs.asdict(counted()) | changes
    with pytest.raises(FactError) as arrived:
        codec.decode_fact(msgspec.msgpack.encode([fields[name] for name in Fact.__struct_fields__]))
    assert arrived.value.field == field


@pytest.mark.parametrize(("device", "session", "seq"), [("", b"s" * 16, 1), ("d", b"s" * 15, 1), ("d", b"s" * 16, 0)])
def test_an_identity_is_whole_or_not_at_all(device: str, session: bytes, seq: int) -> None:
    with pytest.raises(FactError):
        FactId(device=device, session=session, seq=seq)


UP = [
    Hello(start=START, head=None, head_hash=b"", pending=(), replica_version=0),
    Batch(start=START, first_seq=1, previous_hash=START.hash, bodies=(b"x" * 600,)),
    Pull(after=7),
]
DOWN = [
    Welcome(positions=(), version=3),
    Ack(session=b"s" * 16, through=9, version=4),
    Delta(after=1, to=2, rows=Rows(), latest=2),
    Refused(cause="schema", advice="update central"),
]


@pytest.mark.parametrize("message", UP, ids=lambda m: type(m).__name__)
def test_what_goes_up_comes_back_whole(message: Hello | Batch | Pull) -> None:
    assert codec.decode_up(codec.encode(message)) == message


@pytest.mark.parametrize("message", DOWN, ids=lambda m: type(m).__name__)
def test_what_goes_down_comes_back_whole(message: Welcome | Ack | Delta | Refused) -> None:
    assert codec.decode_down(codec.encode(message)) == message


def test_a_direction_takes_only_its_own_messages() -> None:
    with pytest.raises(WireError):
        codec.decode_up(codec.encode(Ack(session=b"s" * 16, through=9, version=4)))
    with pytest.raises(WireError):
        codec.decode_down(codec.encode(Pull(after=7)))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "header"),
        (b"\x01", "header"),
        (b"\x02\x00\x93", "version: found 2, expected 1"),
        (b"\x01\x07\x93", "packing: found 7"),
        (b"\x01\x01not zstd", "message"),
        (b"\x01\x00\xc1", "message"),
        (b"\x01\x00" + b"x" * codec.MAX_MESSAGE, "at most"),
        (b"\x01\x01" + zstandard.ZstdCompressor().compress(bytes(codec.MAX_CONTENT + 1)), "packed content"),
    ],
)
def test_bytes_that_are_no_message_are_refused_by_name(data: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says):
        codec.decode_up(data)


@given(st.binary(max_size=200))
@example(bytes.fromhex("91a9000000000000000080"))  # a tag that is not UTF-8
def test_no_bytes_break_the_decoders(data: bytes) -> None:
    for decode in (codec.decode_up, codec.decode_down, codec.decode_fact):
        try:
            decode(b"\x01\x00" + data)
        except ProtocolError:
            continue


@pytest.mark.parametrize("device", ["", "a/b", "Station", "a+", "#", "x" * 65, "站"])
def test_a_name_that_cannot_stand_in_a_topic_is_refused(device: str) -> None:
    with pytest.raises(ProtocolError):
        topics.up(device)


def test_the_device_is_read_from_its_topic_only() -> None:
    assert topics.device_of(topics.up("cabinet-1")) == "cabinet-1"
    with pytest.raises(ProtocolError):
        topics.device_of(topics.down("cabinet-1"))
