import hmac

import argon2
import pytest

from central.auth import (
    LOCKED_S,
    MAX_SESSIONS,
    MAX_WATCHED,
    SESSION_IDLE_S,
    TRIES,
    Client,
    Clients,
    Lockout,
    PinCheck,
    Sessions,
    is_same_site,
)

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def client(name: str) -> Client:
    return Client(name=name, token=f"{name}-token-0123456789", scopes=frozenset({"read"}))


def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    constant_time = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return constant_time(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    clients = Clients([client("a"), client("b"), client("c")])
    assert clients.by_authorization("Bearer a-token-0123456789") == client("a")
    assert len(compared) == 3  # the first match does not end it


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "a-token-0123456789", "Basic a-token-0123456789", "Bearer a-token-012345678", "Bearer é"],
)
def test_what_is_no_known_token(header: str) -> None:
    assert Clients([client("a")]).by_authorization(header) is None


def test_a_client_does_not_show_its_token() -> None:
    assert "token-0123456789" not in repr(client("a"))


def test_lockout_ends_and_counts_anew() -> None:
    clock = Clock()
    lockout = Lockout(clock)
    for _ in range(TRIES):
        assert lockout.wait_s("n") == 0
        lockout.wrong("n")
    assert lockout.wait_s("n") == LOCKED_S
    assert lockout.wait_s("m") == 0
    clock.now += LOCKED_S
    assert lockout.wait_s("n") == 0
    lockout.wrong("n")
    assert lockout.wait_s("n") == 0
    lockout.right("n")
    for _ in range(TRIES - 1):
        lockout.wrong("n")
    assert lockout.wait_s("n") == 0


def test_lockout_is_bounded() -> None:
    lockout = Lockout()
    for n in range(MAX_WATCHED + 10):
        lockout.wrong(str(n))
    assert len(lockout._wrong) == MAX_WATCHED


def test_sessions_end_when_idle_and_only_people_keep_them() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    secret = sessions.open("n01", "李敏")
    clock.now += SESSION_IDLE_S - 1
    assert sessions.find(secret, is_person=False) is not None
    clock.now += 2
    assert sessions.find(secret) is None
    secret = sessions.open("n01", "李敏")
    for _ in range(3):
        clock.now += SESSION_IDLE_S - 1
        found = sessions.find(secret)
        assert found is not None
        assert found.person == "n01"
    sessions.close(secret)
    assert sessions.find(secret) is None
    assert sessions.find("guess") is None


def test_sessions_are_bounded_and_kept_as_digests() -> None:
    sessions = Sessions()
    secrets = [sessions.open("n", "n") for _ in range(MAX_SESSIONS + 1)]
    assert sessions.find(secrets[0]) is None
    assert sessions.find(secrets[-1]) is not None
    assert all(secret.encode() not in sessions._sessions for secret in secrets)


async def test_pins_are_compared_by_argon2_and_nobody_fits() -> None:
    pins = PinCheck(CHEAP)
    verifier = CHEAP.hash("2468")
    assert await pins.fits(verifier, "2468")
    assert not await pins.fits(verifier, "2469")
    assert not await pins.fits("", "")
    assert not await pins.fits("", "2468")
    assert not await pins.fits("plain", "plain")


@pytest.mark.parametrize(
    ("fetch_site", "origin", "is_from_browser", "expected"),
    [
        ("same-origin", None, True, True),
        ("cross-site", "http://h:1", True, False),
        ("same-site", None, False, False),
        ("none", None, True, False),
        ("none", None, False, True),
        (None, "http://h:1", True, True),
        (None, "http://h:2", True, False),
        (None, "http://h:1.evil", False, False),
        (None, "null", True, False),
        (None, None, True, False),
        (None, None, False, True),
    ],
)
def test_where_a_change_comes_from(
    *, fetch_site: str | None, origin: str | None, is_from_browser: bool, expected: bool
) -> None:
    found = is_same_site(fetch_site=fetch_site, origin=origin, host="h:1", is_from_browser=is_from_browser)
    assert found is expected
