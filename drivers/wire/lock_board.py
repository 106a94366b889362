"""RS-485 lock boards that speak 8A/80 frames, up to 24 locks a board.

::

    to the board      | cmd | board | lock | function | BCC |          5 bytes
    reply of one lock | cmd | board | lock |  status  | BCC |          5 bytes
    reply of all      | 80  | board |  G3  |  G2 | G1 | 33 | BCC |     7 bytes

    8A 01 01 11 9B   open lock 1 of board 1       8A 01 01 00 8A            lock 1 of board 1: 00
    80 01 01 33 B3   state of lock 1              80 01 01 11 91            lock 1 of board 1: 11
    80 01 00 33 B2   state of all locks           80 01 01 01 01 33 B3      locks 1, 9 and 17: 1, the others 0

``cmd`` is 8A to open, 80 to ask; boards and locks count from 1, lock 0 means all; BCC is the XOR of the bytes before
it; bit 0 of G1 is lock 1, bit 7 of G3 is lock 24. Source: a public locker driver, its frames checked by XOR.

Boards differ in what a status byte (00 or 11) and a bit (0 or 1) mean: both are settings of ``Polarity``. The two
replies can end alike, so the caller says which one it waits for; they are told apart by length.

Survives: frames cut into any chunks; garbage before a reply; replies of another board, of another command, or to an
earlier question; a garbled reply (it stays unanswered: the caller asks again); the adapter's echo of the question.
The echo of an open command looks like a reply to it, so a driver must ask for the state afterwards.
"""

from collections.abc import Mapping
from functools import reduce
from operator import xor

import msgspec

OPEN = 0x8A
QUERY = 0x80
FUNCTION_OPEN = 0x11
FUNCTION_QUERY = 0x33
ALL_LOCKS = 0
LOCKS_OF_A_BOARD = 24
LOCK_REPLY_LENGTH = 5
ALL_REPLY_LENGTH = 7
STATUSES = (0x00, 0x11)


class Polarity(msgspec.Struct, frozen=True, kw_only=True):
    """Which status byte and which bit mean an open door on this make of board."""

    open_status: int = 0x00
    open_bit: int = 1

    def __post_init__(self) -> None:
        if self.open_status not in STATUSES:
            raise ValueError(f"open_status is {self.open_status:#04x}, expected 0x00 or 0x11")
        if self.open_bit not in (0, 1):
            raise ValueError(f"open_bit is {self.open_bit}, expected 0 or 1")


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What the board is asked: to open a lock, or for the state of one lock or of all."""

    code: int
    board: int
    lock: int


def bcc(frame: bytes) -> int:
    return reduce(xor, frame, 0)


def encode_command(command: Command) -> bytes:
    function = FUNCTION_OPEN if command.code == OPEN else FUNCTION_QUERY
    return _closed(bytes([command.code, command.board, command.lock, function]))


def decode_command(buffer: bytes) -> tuple[Command | None, int]:
    """The first command in the buffer and how many bytes it and the garbage before it take."""
    for start in range(len(buffer) - LOCK_REPLY_LENGTH + 1):
        frame = buffer[start : start + LOCK_REPLY_LENGTH]
        if (frame[0], frame[3]) in ((OPEN, FUNCTION_OPEN), (QUERY, FUNCTION_QUERY)) and _is_closed(frame):
            return Command(code=frame[0], board=frame[1], lock=frame[2]), start + LOCK_REPLY_LENGTH
    return None, max(0, len(buffer) - LOCK_REPLY_LENGTH + 1)


def encode_lock_reply(command: Command, *, is_open: bool, polarity: Polarity) -> bytes:
    closed_status = STATUSES[polarity.open_status == STATUSES[0]]
    status = polarity.open_status if is_open else closed_status
    return _closed(bytes([command.code, command.board, command.lock, status]))


def decode_lock_reply(buffer: bytes, *, asked: Command, polarity: Polarity) -> tuple[bool | None, int]:
    """Whether the lock asked about is open, if the buffer holds that reply; and how many bytes to drop from it."""
    head = bytes([asked.code, asked.board, asked.lock])
    for start in range(len(buffer) - LOCK_REPLY_LENGTH + 1):
        frame = buffer[start : start + LOCK_REPLY_LENGTH]
        if frame.startswith(head) and frame[3] in STATUSES and _is_closed(frame):
            return frame[3] == polarity.open_status, start + LOCK_REPLY_LENGTH
    return None, max(0, len(buffer) - LOCK_REPLY_LENGTH + 1)


def encode_all_reply(is_open: Mapping[int, bool], *, board: int, polarity: Polarity) -> bytes:
    """Locks that are not named are shut."""
    groups = sum(
        1 << (lock - 1)
        for lock in range(1, LOCKS_OF_A_BOARD + 1)
        if is_open.get(lock, False) == (polarity.open_bit == 1)
    )
    return _closed(bytes([QUERY, board]) + groups.to_bytes(3, "big") + bytes([FUNCTION_QUERY]))


def decode_all_reply(buffer: bytes, *, board: int, polarity: Polarity) -> tuple[Mapping[int, bool] | None, int]:
    """Whether each of 24 locks is open, if the buffer holds that reply; and how many bytes to drop from it."""
    head = bytes([QUERY, board])
    for start in range(len(buffer) - ALL_REPLY_LENGTH + 1):
        frame = buffer[start : start + ALL_REPLY_LENGTH]
        if frame.startswith(head) and frame[5] == FUNCTION_QUERY and _is_closed(frame):
            groups = int.from_bytes(frame[2:5], "big")
            doors = {n + 1: (groups >> n & 1) == polarity.open_bit for n in range(LOCKS_OF_A_BOARD)}
            return doors, start + ALL_REPLY_LENGTH
    return None, max(0, len(buffer) - ALL_REPLY_LENGTH + 1)


def _closed(frame: bytes) -> bytes:
    return frame + bytes([bcc(frame)])


def _is_closed(frame: bytes) -> bool:
    return bcc(frame) == 0
