"""Ports of programs that are killed and started again: each keeps its own, and finds it free when it comes back."""

import contextlib
import errno
import secrets
import socket
from pathlib import Path

_LOWEST_PORT, _USUALLY_BY_CHANCE, _TRIES = 20_000, 32_768, 1_000
_BY_CHANCE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has at the moment.

    It is none of those that connections get by chance: one of these may hold it when its program comes back.
    """
    for _ in range(_TRIES):
        port = _LOWEST_PORT + secrets.randbelow(_first_by_chance() - _LOWEST_PORT)
        if is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port of 127.0.0.1 found in {_TRIES} tries from {_LOWEST_PORT} on")


def _first_by_chance() -> int:
    """The lowest port that the system gives to a connection."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return max(_LOWEST_PORT + _TRIES, int(_BY_CHANCE.read_text(encoding="ascii").split()[0]))
    return _USUALLY_BY_CHANCE


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # What the programs ask for as well: a port whose last connection is still fading out counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
