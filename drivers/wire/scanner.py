"""Serial barcode scanners: a byte stream cut into frames.

::

    +----------+----------------+------------------------+-------------------------+
    | prefix   | AIM identifier | data                   | suffix                  |
    | optional | ] letter digit | at most 4,096 bytes,   | CR, LF, CR LF, TAB,     |
    |          | optional       | GS (1D) kept           | or silence on the line  |
    +----------+----------------+------------------------+-------------------------+

    5D 64 32  30 31 30 36 39 30 ... 58  0D        ]d2 0106901234567892 21X <CR>

Source: the programming manuals of the common makes, which agree; AIM identifiers: ISO/IEC 15424.

Survives: frames cut into any chunks; garbage up to the next suffix; NULs; empty frames; a frame without end (kept to
4,096 bytes, the rest discarded, memory bounded); bytes that are no UTF-8 (data stays bytes). A flawed frame is
reported, never repaired. Two codes that lost the suffix between them stay one frame: where to cut would be a guess,
and the code parser refuses the pair. The next good frame after each of these is read.
"""

import re
from collections.abc import Iterator
from enum import StrEnum

import msgspec

LONGEST_FRAME = 4096
GS = b"\x1d"
_AIM = re.compile(rb"\][A-Za-z][0-9A-Za-z]")


class Suffix(StrEnum):
    """What ends a frame. With CRLF either half ends it, so that one lost byte does not glue two codes."""

    CR = "cr"
    LF = "lf"
    CRLF = "crlf"
    TAB = "tab"
    NONE = "none"


_SENT = {Suffix.CR: b"\r", Suffix.LF: b"\n", Suffix.CRLF: b"\r\n", Suffix.TAB: b"\t", Suffix.NONE: b""}
_ENDS = {
    # Many scanners leave the factory with CR LF: an LF right behind the CR belongs to it.
    Suffix.CR: re.compile(rb"\r\n?"),
    Suffix.LF: re.compile(rb"\n"),
    Suffix.CRLF: re.compile(rb"\r\n?|\n"),
    Suffix.TAB: re.compile(rb"\t"),
    Suffix.NONE: re.compile(rb"(?!)"),
}


class Flaw(StrEnum):
    EMPTY = "empty"
    TOO_LONG = "too_long"
    NUL = "nul"
    PARTIAL = "partial"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How one scanner is set up.

    ``gs_substitute`` is what the scanner sends in place of GS (``~``, ``|``, ``{GS}``, ``^]``); none of these can stand
    in a GS1 element string, so reading them back is exact.
    """

    suffix: Suffix = Suffix.CR
    prefix: bytes = b""
    gs_substitute: bytes = b""
    strips_aim: bool = True


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame without prefix, AIM identifier and suffix. A flawed one keeps the bytes as evidence."""

    data: bytes
    aim: str | None = None
    flaw: Flaw | None = None


class Splitter:
    """Bytes in, frames out; how the bytes are cut into chunks makes no difference."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._end = _ENDS[profile.suffix]
        self._kept = bytearray()
        self._is_discarding = False
        self._last_was_cr = False

    @property
    def is_inside_frame(self) -> bool:
        """Whether silence now would mean something: see ``silence``."""
        return bool(self._kept) or self._is_discarding

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that these bytes complete."""
        return list(self._feed(data))

    def silence(self) -> list[Frame]:
        """The line fell silent: ends the frame if silence is the suffix, else reports a frame cut short."""
        if self._profile.suffix is not Suffix.NONE or not self._kept:
            return self.cut()
        frames = [self._frame()]
        self._start_anew()
        return frames

    def cut(self) -> list[Frame]:
        """The line is gone: reports a frame cut short."""
        frames = [Frame(data=bytes(self._kept), flaw=Flaw.PARTIAL)] if self._kept else []
        self._start_anew()
        return frames

    def _feed(self, data: bytes) -> Iterator[Frame]:
        start = 0
        if self._last_was_cr and data.startswith(b"\n") and self._profile.suffix in (Suffix.CR, Suffix.CRLF):
            start = 1
        if data:
            self._last_was_cr = data.endswith(b"\r")
        for end in self._end.finditer(data, start):
            yield from self._keep(data[start : end.start()])
            if not self._is_discarding:
                yield self._frame()
            self._start_anew()
            start = end.end()
        yield from self._keep(data[start:])

    def _keep(self, data: bytes) -> Iterator[Frame]:
        if self._is_discarding:
            return
        longest = LONGEST_FRAME + len(self._profile.prefix)
        self._kept += data[: longest + 1 - len(self._kept)]
        if len(self._kept) > longest:
            # Told at once: the end may be long in coming.
            yield Frame(data=bytes(self._kept[:LONGEST_FRAME]), flaw=Flaw.TOO_LONG)
            self._kept.clear()
            self._is_discarding = True

    def _frame(self) -> Frame:
        data = bytes(self._kept)
        if not data.startswith(self._profile.prefix):
            return Frame(data=data, flaw=Flaw.PARTIAL if data else Flaw.EMPTY)
        data = data.removeprefix(self._profile.prefix)
        aim = None
        if self._profile.strips_aim and (identifier := _AIM.match(data)):
            aim = identifier.group().decode("ascii")
            data = data[identifier.end() :]
        if b"\0" in data:
            return Frame(data=data, aim=aim, flaw=Flaw.NUL)
        if self._profile.gs_substitute:
            data = data.replace(self._profile.gs_substitute, GS)
        return Frame(data=data, aim=aim, flaw=None if data else Flaw.EMPTY)

    def _start_anew(self) -> None:
        self._kept.clear()
        self._is_discarding = False


def encode(data: bytes, profile: Profile, *, aim: str = "") -> bytes:
    """The bytes a scanner of this profile sends for one code."""
    if profile.gs_substitute:
        data = data.replace(GS, profile.gs_substitute)
    return profile.prefix + aim.encode("ascii") + data + _SENT[profile.suffix]
