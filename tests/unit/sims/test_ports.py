"""Ports of programs that are killed and started again: no connection may sit on one meanwhile by chance."""

import errno
import socket
from pathlib import Path

import pytest

from hardware_sims import ports
from hardware_sims.ports import free_port, is_free


def test_a_port_is_free_and_none_that_connections_get() -> None:
    first_by_chance = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    port = free_port()
    assert port < first_by_chance
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
    assert is_free(port)


@pytest.mark.parametrize(
    ("said", "below"), [("25000\t60999\n", 25_000), ("1024 65535", 21_000), ("", 32_768), (None, 32_768)]
)
def test_what_the_system_says_of_its_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, below: int
) -> None:
    says = tmp_path / "ip_local_port_range"
    if said is not None:
        says.write_text(said)
    monkeypatch.setattr(ports, "_BY_CHANCE", says)
    found = {free_port() for _ in range(300)}
    assert 20_000 <= min(found) <= max(found) < below
    assert len(found) > 200, "two programs that start at once get different ones"


def test_where_all_are_taken_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: False)
    with pytest.raises(OSError, match=r"no free port of 127\.0\.0\.1") as raised:
        free_port()
    assert raised.value.errno == errno.EADDRINUSE
