"""Opens the byte stream of a device by URL.

====================================  =======================================================
``/dev/serial/by-id/usb-…``           serial line or pty at its path, 9600 8N1
``serial:///dev/ttyS0?baud=115200``   the same, with settings: ``baud``, ``parity`` (N, E, O)
``socket://10.1.2.3:4001``            TCP: device servers, packagers
====================================  =======================================================
"""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, urlsplit

import msgspec
import serial
import serial_asyncio_fast

from drivers.errors import DeviceGoneError, DriverConfigError

CONNECT_TIMEOUT_S = 2.0
_EXPECTED = "expected a path like /dev/ttyACM0, serial:///dev/ttyS0?baud=9600 or socket://host:port"


class SerialLine(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    baud: int = 9600
    parity: str = serial.PARITY_NONE


class TcpLine(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int


def parse_url(url: str) -> SerialLine | TcpLine:
    """Where a URL leads. Raises DriverConfigError; opens nothing."""
    if url.startswith("/"):
        return SerialLine(path=url)
    try:
        parts = urlsplit(url)
        if parts.scheme == "socket" and parts.hostname and parts.port:
            return TcpLine(host=parts.hostname, port=parts.port)
    except ValueError as error:  # a port that is no number from 0 to 65535, a broken IPv6 address
        raise DriverConfigError(f"url {url!r}: {error}; {_EXPECTED}") from error
    if parts.scheme == "serial" and parts.path.startswith("/") and not parts.netloc:
        return _serial_line(url, path=parts.path, query=parts.query)
    raise DriverConfigError(f"url {url!r}: {_EXPECTED}")


def _serial_line(url: str, *, path: str, query: str) -> SerialLine:
    settings = dict(parse_qsl(query, keep_blank_values=True))
    baud = settings.pop("baud", "9600")
    parity = settings.pop("parity", serial.PARITY_NONE)
    if settings:
        raise DriverConfigError(f"url {url!r}: unknown setting {min(settings)!r}, expected baud or parity")
    if not baud.isascii() or not baud.isdigit() or int(baud) not in serial.Serial.BAUDRATES:
        raise DriverConfigError(f"url {url!r}: baud is {baud!r}, expected a speed of serial lines such as 9600")
    if parity not in ("N", "E", "O"):
        raise DriverConfigError(f"url {url!r}: parity is {parity!r}, expected N, E or O")
    return SerialLine(path=path, baud=int(baud), parity=parity)


@asynccontextmanager
async def open_stream(
    line: SerialLine | TcpLine, *, limit: int = 2**16
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """One connection, cut when left. At most ``2 * limit`` unread bytes are kept. Raises DeviceGoneError."""
    try:
        reader, writer = await (_open_serial(line, limit) if isinstance(line, SerialLine) else _open_tcp(line, limit))
    except TimeoutError as error:
        raise DeviceGoneError(f"{_place(line)}: no answer within {CONNECT_TIMEOUT_S} s") from error
    except OSError as error:
        raise DeviceGoneError(f"{_place(line)}: {_explain(error)}") from error
    try:
        yield reader, writer
    finally:
        if not writer.is_closing():
            # A hung-up tty never drains: closing gently would block for ever.
            writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def read_some(reader: asyncio.StreamReader, limit: int = 4096) -> bytes:
    """The next bytes, at least one. Raises DeviceGoneError when the line is cut."""
    try:
        data = await reader.read(limit)
    except OSError as error:
        raise DeviceGoneError("the line was cut: unplugged or switched off") from error
    if not data:
        raise DeviceGoneError("the line was cut: the device closed it")
    return data


async def _open_serial(line: SerialLine, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    # Exclusive: two readers of one scanner would each get half of a code.
    # DTR and RTS are left as they come, since a pty has none.
    reader, writer = await serial_asyncio_fast.open_serial_connection(
        url=line.path, baudrate=line.baud, parity=line.parity, exclusive=True, limit=limit
    )
    return reader, writer


async def _open_tcp(line: TcpLine, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(line.host, line.port, limit=limit)
    # A device that lost its power says nothing: probe a silent line, give up within about ten seconds.
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 4)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 10_000)
    return reader, writer


def _place(line: SerialLine | TcpLine) -> str:
    return line.path if isinstance(line, SerialLine) else f"{line.host}:{line.port}"


def _explain(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return "no such port; is the device plugged in?"
        case errno.EACCES:
            return "permission denied; the service's user must be in the group that owns the port (dialout)"
        case errno.EAGAIN:
            return "in use by another program; stop it first"
        case errno.ECONNREFUSED:
            return "connection refused; is the device switched on and its service running?"
        case _:
            return str(error)
