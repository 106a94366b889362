"""What a door session of a cabinet is made of, as its screen shows it."""

from enum import StrEnum

import msgspec

from edge_agent.workflows.contents import Contents
from sync_protocol.documents import DeliveryNote, Person
from sync_protocol.facts import Certificate
from sync_protocol.lifecycle import Refusal


class Task(StrEnum):
    RECEIVE = "receive"
    TAKE = "take"
    """Take, or put back: which of the two is read from the pieces."""
    COUNT = "count"


class Phase(StrEnum):
    IDLE = "idle"
    OPENING = "opening"
    OPEN = "open"
    READING = "reading"
    RECORDING = "recording"
    RESULT = "result"
    FAILED = "failed"


class Trouble(StrEnum):
    """What the session waits for, or failed by; each has a sentence and an action on the screen."""

    LOCK_GONE = "lock_gone"
    LOCK_JAMMED = "lock_jammed"
    DOOR_AJAR = "door_ajar"
    READER_GONE = "reader_gone"
    NOT_STORED = "not_stored"


class Grade(StrEnum):
    """How far a reading can be believed."""

    CERTAIN = "certain"
    ASK = "ask"
    """New tags were still coming in when the reading ended: a person should look."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    quiet_rounds: int = 2
    max_rounds: int = 12
    round_s: float = 0.3
    door_poll_s: float = 0.3
    ajar_s: float = 60.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a door session came to."""

    contents: Contents
    certificate: Certificate
    grade: Grade
    is_received: bool = False
    not_arrived: tuple[str, ...] = ()
    """Codes of the note that were not heard: the note stays open."""
    refusals: tuple[Refusal, ...] = ()

    @property
    def moved(self) -> int:
        """Pieces that this session moved."""
        contents = self.contents
        arrived = len(contents.arrived) if self.is_received else 0
        return len(contents.missing) + len(contents.back) + len(contents.cancelled_back) + arrived


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What the cabinet's screen shows."""

    phase: Phase = Phase.IDLE
    task: Task | None = None
    person: Person | None = None
    note: DeliveryNote | None = None
    trouble: Trouble | None = None
    cause: str = ""
    rounds: int = 0
    max_rounds: int = 0
    tags: int = 0
    expected: int = 0
    is_deeper: bool = False
    outcome: Outcome | None = None

    @property
    def is_busy(self) -> bool:
        return self.phase not in {Phase.IDLE, Phase.RESULT, Phase.FAILED}
