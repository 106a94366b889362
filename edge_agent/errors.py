"""What can go wrong in an agent, split by what the caller will do: ask the person, try later, or stop for a person."""

from enum import IntEnum
from typing import ClassVar

import msgspec

from sync_protocol.lifecycle import Refusal


class Exit(IntEnum):
    """Exit statuses of ``codepool-edge``. The numbers follow sysexits.h."""

    OK = 0
    CORRUPT = 65
    CONFIG_UNREADABLE = 66
    PORT_IN_USE = 69
    INTERNAL = 70
    STORE = 74
    IN_USE = 75
    NEWER = 76
    CONFIG = 78


class EdgeError(Exception):
    """Root of every error of ``edge_agent``. ``exit_status`` is what the process ends with if nobody handles it."""

    exit_status: ClassVar[Exit] = Exit.INTERNAL


class Refused(EdgeError):  # noqa: N818 -- an answer to the person who scanned, not a fault
    """Facts that do not fit what this agent believes. Nothing was written."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        super().__init__("; ".join(f"{refusal.code}: {refusal.what} refused, {refusal.reason}" for refusal in refusals))
        self.refusals = refusals


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake of a configuration file. ``advice`` alone where it says all."""

    field: str
    advice: str
    found: str = ""
    expected: str = ""

    def __str__(self) -> str:
        if not self.found:
            return f"{self.field}: {self.advice}"
        return f"{self.field}: found {self.found}, expected {self.expected}; {self.advice}"


class ConfigError(EdgeError):
    """The configuration cannot work. ``mistakes`` are all that were found in it."""

    exit_status = Exit.CONFIG

    def __init__(self, place: str, mistakes: tuple[Mistake, ...]) -> None:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = "".join(f"\n  {mistake}" for mistake in mistakes)
        super().__init__(f"{place}: {count}:{lines}")
        self.mistakes = mistakes


class ConfigUnreadableError(EdgeError):
    """The configuration file is not there or may not be read."""

    exit_status = Exit.CONFIG_UNREADABLE


class PortInUseError(EdgeError):
    """Another program holds the port of the screen."""

    exit_status = Exit.PORT_IN_USE


class StoreError(EdgeError):
    """The disk is full or broken: what was to be written is not. The caller says so and may try again."""

    exit_status = Exit.STORE


class StoreFullError(StoreError):
    """The disk is full. Facts of what has physically happened still get the reserve."""


class DataInUseError(EdgeError):
    """Another agent holds the data folder: two would write one chain."""

    exit_status = Exit.IN_USE


class JournalCorruptError(EdgeError):
    """The journal is damaged. Nothing may be written to it or started without it; ``salvage`` reads what is intact."""

    exit_status = Exit.CORRUPT


class JournalNewerError(EdgeError):
    """The journal was written by newer software."""

    exit_status = Exit.NEWER


class LinkDownError(EdgeError):
    """There is no connection to the broker; the message is not sent. The link reconnects by itself."""


class SignInRefusedError(EdgeError):
    """The person may not sign in. ``wait_s`` is above 0 while the person is locked out."""

    def __init__(self, reason: str, *, wait_s: int = 0) -> None:
        super().__init__(f"{reason}, wait {wait_s} s" if wait_s else reason)
        self.reason = reason
        self.wait_s = wait_s
