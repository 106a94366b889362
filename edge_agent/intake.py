"""What a reading means in the ward: a scan becomes a code, tag rounds become heard codes with a read certificate."""

import datetime as dt
from collections.abc import Mapping

import msgspec

from drivers.readings import Scan, ScanFlaw, TagRound
from sync_protocol.codeform import shown
from sync_protocol.codes import Code, Entry, parse_scan
from sync_protocol.epc import parse_epc
from sync_protocol.errors import CodeFlaw, CodeRefused
from sync_protocol.facts import Certificate

_SHOWN = 64
_FLAWS: Mapping[ScanFlaw, tuple[CodeFlaw, str, str]] = {
    ScanFlaw.EMPTY: (CodeFlaw.EMPTY, "a code", "scan again"),
    ScanFlaw.TOO_LONG: (
        CodeFlaw.TOO_LONG,
        "one code and the scanner's suffix",
        "set the scanner to end each code with CR, then scan again",
    ),
    ScanFlaw.PARTIAL: (
        CodeFlaw.INCOMPLETE,
        "a whole frame with its suffix",
        "check the scanner's cable, then scan again",
    ),
    ScanFlaw.NUL: (CodeFlaw.NUL, "printable ASCII", "check the line speed and the cable, then scan again"),
}


def code_of_scan(scan: Scan, *, today: dt.date) -> Code:
    """The one code of a scanner's frame. Raises CodeRefused, also for a frame that the driver already found flawed."""
    if scan.flaw is None:
        return parse_scan(scan.data, aim=scan.aim, today=today)
    reason, expected, advice = _FLAWS[scan.flaw]
    raise CodeRefused(reason, found=f"{len(scan.data)} bytes", expected=expected, advice=advice)


def code_of_entry(text: str, *, today: dt.date) -> Code:
    """The one code that a person typed. Raises CodeRefused."""
    return parse_scan(text.encode("utf-8", "surrogatepass"), entry=Entry.KEYBOARD, today=today)


def text_of(data: bytes) -> str:
    """What a scanner sent, as a text that can be looked up."""
    return data.decode("ascii", "replace").strip()


def legible(data: bytes) -> str:
    """The same, as any screen can show it."""
    text = data.decode("latin-1")
    return text if text.isascii() and text.isprintable() and len(text) <= _SHOWN else shown(text)


class Heard(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One tag over all rounds of a reading. ``code`` is its canonical key, or the bare EPC where it is none."""

    code: str
    epc: str
    rounds: int
    hits: int
    rssi_dbm: int
    flaw: CodeFlaw | None = None
    """Why the EPC is not the code of a piece: such a tag is foreign and moves nothing."""


class Reading:
    """All rounds of one reading, tag by tag."""

    def __init__(self) -> None:
        self._heard: dict[str, Heard] = {}
        self._codes: dict[str, tuple[str, CodeFlaw | None]] = {}
        self.rounds = 0
        self.quiet_rounds = 0

    @property
    def heard(self) -> Mapping[str, Heard]:
        """Tags by code."""
        return self._heard

    def add(self, tags: TagRound) -> int:
        """Take in one round; the number of tags not heard in any round before."""
        fresh = 0
        for tag in tags.tags:
            code, flaw = self._codes.get(tag.epc) or self._codes.setdefault(tag.epc, _code_of_tag(tag.epc))
            before = self._heard.get(code)
            fresh += before is None
            self._heard[code] = Heard(
                code=code,
                epc=tag.epc,
                rounds=1 + (before.rounds if before else 0),
                hits=tag.hits + (before.hits if before else 0),
                rssi_dbm=max(tag.rssi_dbm, before.rssi_dbm) if before else tag.rssi_dbm,
                flaw=flaw,
            )
        self.rounds += 1
        self.quiet_rounds = 0 if fresh else self.quiet_rounds + 1
        return fresh

    def certificate(self) -> Certificate:
        return Certificate(
            rounds=self.rounds,
            tags=len(self._heard),
            hits=sum(tag.hits for tag in self._heard.values()),
            quiet_rounds=self.quiet_rounds,
        )


def _code_of_tag(epc: str) -> tuple[str, CodeFlaw | None]:
    try:
        return parse_epc(epc).key, None
    except CodeRefused as refusal:
        return epc, refusal.reason
