"""An MQTT broker as a process of its own, on a port that stays the same when it is killed and started again."""

import asyncio
import getpass
import shutil
import sys
from enum import StrEnum
from pathlib import Path

from hardware_sims.ports import free_port
from hardware_sims.process import ManagedProcess, ProcessDiedError

_MOSQUITTO_PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
_READY_S = 20.0
_POLL_S = 0.05

# ``user``: started by root it would become another user, who may not write here, and Linux would forget the leash.
# A broker keeps nothing and limits what a client can pile up: what it loses, the facts' own acks make good.
_MOSQUITTO = """\
user {user}
listener {port} 127.0.0.1
allow_anonymous true
persistence {persistence}
persistence_location {directory}/
persistence_file {memory}
autosave_interval 1
max_queued_messages 1000
max_inflight_messages 20
message_size_limit 1048576
set_tcp_nodelay true
log_dest stderr
connection_messages false
"""


class Brand(StrEnum):
    AMQTT = "amqtt"
    MOSQUITTO = "mosquitto"


class BrokerMissingError(Exception):
    """The broker asked for is not installed."""


class Broker:
    """``start``, ``kill`` and ``start`` again: same port, empty memory, unless it ``keeps`` one (mosquitto only)."""

    def __init__(self, brand: Brand, directory: Path, *, keeps: bool = False) -> None:
        self.port = free_port()
        self._brand = brand
        self._keeps = keeps
        self._memory = directory / "mosquitto.db"
        self._process = ManagedProcess("broker", self._command(directory), directory / "broker.log")

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def process(self) -> ManagedProcess:
        return self._process

    async def start(self) -> None:
        """Return once it takes connections. Raises ProcessDiedError, with the end of its log."""
        await self._process.start()
        deadline = asyncio.get_running_loop().time() + _READY_S
        while not await self._takes_connections():
            if self._process.has_died or asyncio.get_running_loop().time() > deadline:
                raise ProcessDiedError(self._process, f"takes no connection on port {self.port}")
            await asyncio.sleep(_POLL_S)

    async def kill(self) -> None:
        await self._process.kill()

    def forget(self) -> None:
        """Lose what it kept, while it is down."""
        self._memory.unlink(missing_ok=True)

    async def stop(self) -> None:
        await self._process.stop()

    def _command(self, directory: Path) -> list[str]:
        if self._brand is Brand.AMQTT:
            return [sys.executable, "-m", "hardware_sims.amqtt_process", str(self.port)]
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path=_MOSQUITTO_PLACES)
        if program is None:
            raise BrokerMissingError(
                "mosquitto is not on the PATH; install it (Debian: apt install mosquitto) or use --broker amqtt"
            )
        settings = directory / "mosquitto.conf"
        text = _MOSQUITTO.format(
            user=getpass.getuser(),
            port=self.port,
            persistence="true" if self._keeps else "false",
            directory=directory,
            memory=self._memory.name,
        )
        settings.write_text(text, encoding="utf-8")
        return [program, "-c", str(settings)]

    async def _takes_connections(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
