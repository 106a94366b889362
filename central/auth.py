"""Who may call: programs by bearer token and scope, people by PIN and a session cookie."""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from enum import StrEnum

import argon2
import msgspec

TOKEN_MIN = 16
"""Characters of a client's token: a shorter one is guessed."""
TRIES = 5
"""Wrong PINs in a row after which a person waits."""
LOCKED_S = 300.0
SESSION_IDLE_S = 8 * 3600.0
"""A working day: nobody who is at work is signed out, a desk left alone overnight is."""
MAX_SESSIONS = 1_000
MAX_WATCHED = 10_000
COOKIE = "codepool_session"


class Scope(StrEnum):
    """What a client program may do."""

    READ = "read"
    ORDERS = "orders"
    RECEIVING = "receiving"
    USAGE = "usage"
    MASTERDATA = "masterdata"
    RECALLS = "recalls"
    DEVICES = "devices"
    LEASES = "leases"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A program that may call: the hospital system, the resource system."""

    name: str
    token: str
    scopes: frozenset[str]

    def __repr__(self) -> str:
        return f"Client(name={self.name!r}, scopes={sorted(self.scopes)})"


class Clients:
    def __init__(self, clients: Iterable[Client]) -> None:
        self._clients = [(_digest(client.token), client) for client in clients]

    def by_authorization(self, header: str) -> Client | None:
        """The client whose token the header ``Bearer <token>`` carries. Compares with all, in constant time."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        offered = _digest(token.strip())
        found = None
        for digest, client in self._clients:
            if hmac.compare_digest(digest, offered):
                found = client
        return found


class Lockout:
    """Counts wrong PINs of a person; bounded, the oldest counts are forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, person: str) -> float:
        """Seconds until the person may try again; 0 at once."""
        tries, last = self._wrong.get(person, (0, 0.0))
        return max(0.0, last + LOCKED_S - self._clock()) if tries >= TRIES else 0.0

    def wrong(self, person: str) -> None:
        tries, last = self._wrong.pop(person, (0, 0.0))
        if tries >= TRIES and last + LOCKED_S <= self._clock():
            tries = 0
        self._wrong[person] = (tries + 1, self._clock())
        while len(self._wrong) > MAX_WATCHED:
            self._wrong.popitem(last=False)

    def right(self, person: str) -> None:
        self._wrong.pop(person, None)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A person signed in at a browser."""

    person: str
    name: str
    used_s: float


class Sessions:
    """Browsers signed in, in memory only: a restart signs everyone out. A full table forgets the one idle longest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def open(self, person: str, name: str) -> str:
        """The secret for the cookie. Only its digest is kept."""
        secret = secrets.token_urlsafe(32)
        self._sessions[_digest(secret)] = Session(person=person, name=name, used_s=self._clock())
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return secret

    def find(self, secret: str, *, is_person: bool = True) -> Session | None:
        """The session of the cookie; ``is_person``: a person asks, not a page that renews itself."""
        key = _digest(secret)
        session = self._sessions.get(key)
        if session is None:
            return None
        if session.used_s + SESSION_IDLE_S < self._clock():
            del self._sessions[key]
            return None
        if is_person:
            self._sessions[key] = session = msgspec.structs.replace(session, used_s=self._clock())
            self._sessions.move_to_end(key)
        return session

    def close(self, secret: str) -> None:
        self._sessions.pop(_digest(secret), None)


class PinCheck:
    """Compares a PIN with its argon2 verifier in a thread, at most two at once: argon2 is slow and large by design."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._nobody = ""
        self._slots = asyncio.Semaphore(2)

    async def fits(self, verifier: str, pin: str) -> bool:
        """An empty verifier (nobody, or nobody with a PIN) takes as long as a real one and never fits."""
        async with self._slots:
            return await asyncio.to_thread(self._compare, verifier, pin) and bool(verifier)

    def _compare(self, verifier: str, pin: str) -> bool:
        try:
            return self._hasher.verify(verifier or self._verifier_of_nobody(), pin)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    def _verifier_of_nobody(self) -> str:
        self._nobody = self._nobody or self._hasher.hash(secrets.token_urlsafe(16))
        return self._nobody


def is_same_site(*, fetch_site: str | None, origin: str | None, host: str, is_from_browser: bool) -> bool:
    """Whether a request that changes something comes from our own page, or from no page at all.

    ``is_from_browser``: it carries our cookie, so it must prove where it comes from. A program sends neither header.
    """
    if fetch_site is not None:
        return fetch_site == "same-origin" or (fetch_site == "none" and not is_from_browser)
    if origin is not None:
        return origin.partition("://")[2] == host
    return not is_from_browser


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
