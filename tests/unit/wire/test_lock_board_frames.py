import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.wire.lock_board import (
    ALL_LOCKS,
    OPEN,
    QUERY,
    Command,
    Polarity,
    bcc,
    decode_all_reply,
    decode_command,
    decode_lock_reply,
    encode_all_reply,
    encode_command,
    encode_lock_reply,
)

POLARITY = Polarity(open_status=0x00, open_bit=1)
ASKED = Command(code=QUERY, board=1, lock=1)

# From the notes on a public locker driver; each checked by XOR by hand.
COMMANDS = [
    pytest.param("8A 01 01 11 9B", Command(code=OPEN, board=1, lock=1), id="open lock 1 of board 1"),
    pytest.param("8A 01 00 11 9A", Command(code=OPEN, board=1, lock=ALL_LOCKS), id="open all"),
    pytest.param("8A 02 18 11 81", Command(code=OPEN, board=2, lock=24), id="open lock 24 of board 2"),
    pytest.param("80 01 01 33 B3", Command(code=QUERY, board=1, lock=1), id="state of lock 1"),
    pytest.param("80 01 00 33 B2", Command(code=QUERY, board=1, lock=ALL_LOCKS), id="state of all"),
]
LOCK_REPLIES = [
    pytest.param("80 01 01 00 80", True, id="00"),
    pytest.param("80 01 01 11 91", False, id="11"),
]
ALL_REPLY = bytes.fromhex("80 01 01 01 01 33 B3")


@pytest.mark.parametrize(("line", "command"), COMMANDS)
def test_golden_commands(line: str, command: Command) -> None:
    assert encode_command(command) == bytes.fromhex(line)
    assert decode_command(bytes.fromhex(line)) == (command, 5)


@pytest.mark.parametrize(("line", "is_open"), LOCK_REPLIES)
def test_golden_replies_of_one_lock(line: str, is_open: bool) -> None:  # noqa: FBT001 - pytest passes by name
    assert decode_lock_reply(bytes.fromhex(line), asked=ASKED, polarity=POLARITY) == (is_open, 5)
    assert encode_lock_reply(ASKED, is_open=is_open, polarity=POLARITY) == bytes.fromhex(line)


def test_golden_reply_of_all_locks() -> None:
    doors, used = decode_all_reply(ALL_REPLY, board=1, polarity=POLARITY)
    assert used == 7
    assert doors is not None
    assert [lock for lock, is_open in doors.items() if is_open] == [1, 9, 17]
    assert encode_all_reply(doors, board=1, polarity=POLARITY) == ALL_REPLY


def test_polarity_turns_both_meanings() -> None:
    turned = Polarity(open_status=0x11, open_bit=0)
    assert decode_lock_reply(bytes.fromhex("80 01 01 00 80"), asked=ASKED, polarity=turned) == (False, 5)
    doors, _ = decode_all_reply(ALL_REPLY, board=1, polarity=turned)
    assert doors is not None
    assert [lock for lock, is_open in doors.items() if not is_open] == [1, 9, 17]
    assert encode_all_reply(doors, board=1, polarity=turned) == ALL_REPLY


def test_polarity_refuses_what_no_board_sends() -> None:
    with pytest.raises(ValueError, match="open_status is 0x22, expected 0x00 or 0x11"):
        Polarity(open_status=0x22)
    with pytest.raises(ValueError, match="open_bit is 2, expected 0 or 1"):
        Polarity(open_bit=2)


def test_the_two_replies_that_end_alike_are_told_apart_by_length() -> None:
    echo = bytes.fromhex("80 01 01 33 B3")
    assert echo[-2:] == ALL_REPLY[-2:]
    assert decode_all_reply(echo, board=1, polarity=POLARITY)[0] is None
    assert decode_lock_reply(ALL_REPLY, asked=ASKED, polarity=POLARITY)[0] is None


def test_the_echo_of_a_question_is_no_answer_to_it() -> None:
    reply = bytes.fromhex("80 01 01 11 91")
    assert decode_lock_reply(encode_command(ASKED), asked=ASKED, polarity=POLARITY)[0] is None
    assert decode_lock_reply(encode_command(ASKED) + reply, asked=ASKED, polarity=POLARITY) == (False, 10)


@pytest.mark.parametrize(
    "line", ["80 02 01 11 92", "80 01 02 11 92", "8A 01 01 11 9B", "80 01 01 11 90", "80 01 01 22 A2"]
)
def test_other_boards_locks_commands_and_damage_answer_nothing(line: str) -> None:
    assert decode_lock_reply(bytes.fromhex(line), asked=ASKED, polarity=POLARITY)[0] is None


@given(before=st.binary(max_size=40), chunks=st.lists(st.integers(1, 9), max_size=30))
def test_a_reply_is_found_behind_any_garbage_in_any_chunks(before: bytes, chunks: list[int]) -> None:
    # Without a 7 the garbage cannot hold a reply of board 7 by chance.
    line = before.replace(b"\x07", b"") + encode_lock_reply(
        Command(code=QUERY, board=7, lock=7), is_open=True, polarity=POLARITY
    )
    buffer, found = b"", None
    sizes = iter(chunks)
    while line and found is None:
        size = next(sizes, len(line))
        buffer, line = buffer + line[:size], line[size:]
        found, used = decode_lock_reply(buffer, asked=Command(code=QUERY, board=7, lock=7), polarity=POLARITY)
        buffer = buffer[used:]
        assert len(buffer) <= 9
    assert found is True


@given(is_open=st.frozensets(st.integers(1, 24)), board=st.integers(1, 255), bit=st.sampled_from([0, 1]))
def test_all_doors_survive_the_round_trip(is_open: frozenset[int], board: int, bit: int) -> None:
    polarity = Polarity(open_bit=bit)
    line = encode_all_reply({lock: lock in is_open for lock in range(1, 25)}, board=board, polarity=polarity)
    doors, used = decode_all_reply(line, board=board, polarity=polarity)
    assert used == 7
    assert doors == {lock: lock in is_open for lock in range(1, 25)}
    assert bcc(line) == 0
