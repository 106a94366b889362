"""The recall lane at central: sets out, confirmations in, and back what a restored ledger has lost (REQ-07)."""

import sqlite3
from collections.abc import Sequence

import structlog

from central.errors import BusyError, InvalidError
from central.ledger.write import Ledger
from central.stock.recalls import Recalls
from central.sync.agents import Agents
from central.sync.publish import Publisher
from sync_protocol import topics
from sync_protocol.errors import WireError
from sync_protocol.messages import AskRecalls, Confirm, Hello, Pull, Up
from sync_protocol.recalls import SignedRecalls

_CONFIRM = "INSERT INTO recall_confirm (device, version, confirmed_us) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_FORGET = "DELETE FROM recall_confirm WHERE device = ? AND version > ?"

REMIND_AFTER_US = 5_000_000

_log = structlog.get_logger("central.recalls")


class RecallLane:
    """``refused``: agents whose recall set our key did not sign, with the cause."""

    def __init__(self, ledger: Ledger, recalls: Recalls, agents: Agents, publisher: Publisher) -> None:
        self.refused: dict[str, str] = {}
        self._ledger = ledger
        self._recalls = recalls
        self._agents = agents
        self._publisher = publisher
        self._unwritten: dict[str, int] = {}
        self._reminded_us: dict[str, int] = {}
        recalls.listen(self._publish)

    @property
    def version(self) -> int:
        """Of the set that every ack and welcome names."""
        return self._recalls.version

    def ring(self) -> None:
        """Leave the set at the broker, which may have lost it."""
        if self._recalls.signed is not None:
            self._publish(self._recalls.signed)

    async def take(self, letters: Sequence[tuple[str, Up]]) -> None:
        """Handle what is of this lane; before anything else of the same letters."""
        for device, message in letters:
            match message:
                case Hello():
                    self._holds(device, message.recall_version)
                case Confirm():
                    self._holds(device, message.recall_version)
                case AskRecalls():
                    self._send(device)
                case Pull():
                    self._remind(device)
                case SignedRecalls():
                    await self._adopt(device, message)
        self._write()

    def _publish(self, signed: SignedRecalls) -> None:
        self._publisher.send(topics.RECALLS, signed)

    def _send(self, device: str) -> None:
        if self._recalls.signed is not None:
            self._publisher.tell(device, self._recalls.signed)

    def _remind(self, device: str) -> None:
        """An agent with nothing to send hears no ack, but polls: the set or its confirmation may have been lost."""
        now_us = self._ledger.time.now_us()
        is_behind = self._agents.recall_version(device) != self.version
        if is_behind and now_us >= self._reminded_us.get(device, 0) + REMIND_AFTER_US:
            self._reminded_us[device] = now_us
            self._send(device)

    def _holds(self, device: str, version: int) -> None:
        if self._agents.holds_recalls(device, version):
            self._unwritten[device] = version

    async def _adopt(self, device: str, signed: SignedRecalls) -> None:
        try:
            await self._recalls.adopt(signed, device)
            self.refused.pop(device, None)
        except WireError as error:
            if device not in self.refused:
                _log.error("recall set refused", device=device, version=signed.version, cause=str(error))
            self.refused[device] = str(error)
        except (BusyError, InvalidError) as error:
            _log.error("recalls not taken back, the agent will send them again", device=device, cause=str(error))

    def _write(self) -> None:
        """Who confirmed what, at once: the cover page is looked at while a recall goes out."""
        if not self._unwritten:
            return
        now_us = self._ledger.time.now_us()
        held = list(self._unwritten.items())

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(_FORGET, held)
            connection.executemany(_CONFIRM, [(device, version, now_us) for device, version in held if version])

        try:
            self._ledger.write(write)
            self._agents.write()
        except BusyError:
            return  # the ledger says so itself; the next letters write it
        self._unwritten.clear()
