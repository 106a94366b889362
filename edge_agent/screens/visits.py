"""Browsers by cookie, and who sits at which. Nothing of it is kept on the disk: after a restart people sign in anew."""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from edge_agent.notify import Change, Notifier
from edge_agent.workflows.desk import Desk
from edge_agent.workflows.station import Station
from sync_protocol.documents import Person

COOKIE = "codepool"
VISITS_AT_MOST = 256
IDLE_US = 15 * 60_000_000
IDLE_AT_CABINET_US = 3 * 60_000_000
"""A cabinet stands in a corridor."""


class Seat(StrEnum):
    SCREEN = "screen"
    """The workplace's own screen: at a station, the seat of the attached scanner."""
    PDA = "pda"


class Visit(msgspec.Struct, kw_only=True):
    """One browser. ``seated`` is who signed in here, except at a station, where the desk knows."""

    key: str
    seat: Seat
    active_us: int
    seated: Person | None = None


class Visits:
    def __init__(
        self, *, station: Station | None, notifier: Notifier, new_key: Callable[[], str], now_us: Callable[[], int]
    ) -> None:
        self._station = station
        self._notifier = notifier
        self._new_key = new_key
        self._now_us = now_us
        self._idle_us = IDLE_US if station is not None else IDLE_AT_CABINET_US
        self._visits: dict[str, Visit] = {}
        self._holder = ""
        """The browser at the seat of the attached scanner: a badge scanned there signs that one in."""

    def find(self, key: str) -> Visit | None:
        visit = self._visits.get(key)
        if visit is not None and self._now_us() - self._last_us(visit) > self._idle_us:
            self.sign_out(visit)
        return visit

    def open(self, seat: Seat) -> Visit:
        if len(self._visits) >= VISITS_AT_MOST:
            oldest = min(self._visits.values(), key=lambda visit: visit.active_us)
            self.sign_out(oldest)
            del self._visits[oldest.key]
        visit = Visit(key=self._new_key(), seat=seat, active_us=self._now_us())
        self._visits[visit.key] = visit
        return visit

    def _last_us(self, visit: Visit) -> int:
        """When the person last did something here; a scan at the attached scanner reaches no browser."""
        desk = self.desk(visit)
        return max(visit.active_us, desk.active_us) if desk is not None else visit.active_us

    def touch(self, visit: Visit) -> None:
        """The person did something."""
        visit.active_us = self._now_us()

    def await_badge(self, visit: Visit) -> None:
        """The visit shows the sign-in page beside the attached scanner, and nobody else sits there."""
        if self._station is not None and self._station.desk.person is None and visit.seat is Seat.SCREEN:
            self._holder = visit.key

    def desk(self, visit: Visit) -> Desk | None:
        """The visit's seat at a station."""
        if self._station is None:
            return None
        if visit.seat is Seat.PDA:
            return self._station.pda(visit.key)
        return self._station.desk if visit.key == self._holder else None

    def person(self, visit: Visit | None) -> Person | None:
        if visit is None:
            return None
        if self._station is None:
            return visit.seated
        desk = self.desk(visit)
        return desk.person if desk is not None else None

    def sign_in(self, visit: Visit, person: Person) -> None:
        """Seat a person. At the attached scanner whoever sat there before is signed out: one seat, one person."""
        self.touch(visit)
        if self._station is not None and visit.seat is Seat.SCREEN:
            self._holder = visit.key
        desk = self.desk(visit)
        if desk is not None:
            desk.sign_in(person)
        else:
            visit.seated = person
            self._notifier.publish(Change.PEOPLE)

    def sign_out(self, visit: Visit) -> None:
        desk = self.desk(visit)
        if self._station is not None and visit.seat is Seat.PDA:
            self._station.leave(visit.key)
        elif desk is not None:
            desk.sign_in(None)
        visit.seated = None
        self.touch(visit)
        self._notifier.publish(Change.PEOPLE)
