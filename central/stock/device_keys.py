"""Which device has which key (REQ-09): let in by two people who compare fingerprints, or the first that it shows.

A device that shows another key than the accepted one waits again: a wiped computer, or somebody who pretends.
"""

import sqlite3
from enum import StrEnum

import structlog

from central.errors import InvalidError, NotFoundError
from central.ledger.transaction import Transaction
from central.ledger.write import DEVICE, Ledger
from central.stock.people import require_two
from sync_protocol.envelope import KEY_BYTES, fingerprint
from sync_protocol.errors import ProtocolError
from sync_protocol.topics import check_device

MOST_WAITING = 200
"""Keys that wait for people; whoever shows more is turned away until some are decided on."""
_ALL = "SELECT device, key, state FROM device_key"
_ADD = "INSERT INTO device_key (device, key, state, seen_us) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_REVOKE = "UPDATE device_key SET state = ?, decided_us = ?, operator = ?, witness = ? WHERE device = ? AND state = ?"
_ACCEPT = (
    "INSERT INTO device_key (device, key, state, seen_us, decided_us, operator, witness) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (device, key) DO UPDATE SET state = excluded.state, decided_us = excluded.decided_us, "
    "operator = excluded.operator, witness = excluded.witness"
)
_log = structlog.get_logger("central.keys")


class KeyState(StrEnum):
    WAITING = "waiting"
    ACCEPTED = "accepted"
    REVOKED = "revoked"


class Enrolment(StrEnum):
    """How a device gets in: ``listed`` when two people let it in, ``open`` with the first key that it shows."""

    LISTED = "listed"
    OPEN = "open"


class DeviceKeys:
    def __init__(self, ledger: Ledger, enrolment: Enrolment) -> None:
        self.enrolment = enrolment
        self._ledger = ledger
        self._states: dict[tuple[str, bytes], KeyState] = {}
        self._accepted: dict[str, bytes] = {}
        self._load()

    @property
    def waiting(self) -> tuple[tuple[str, bytes], ...]:
        """Devices with the keys that they showed and that nobody has decided on."""
        return tuple(sorted(known for known, state in self._states.items() if state is KeyState.WAITING))

    @property
    def every(self) -> tuple[tuple[str, bytes, KeyState], ...]:
        return tuple((device, key, state) for (device, key), state in sorted(self._states.items()))

    def waiting_key(self, device: str, shown: str) -> bytes:
        """The key of the device that waits under this fingerprint. Raises NotFoundError."""
        for known, key in self.waiting:
            if known == device and fingerprint(key) == shown:
                return key
        raise NotFoundError("fingerprint", shown, "a key that waits")

    def of(self, device: str) -> bytes | None:
        """The key that is believed."""
        return self._accepted.get(device)

    def meet(self, device: str, key: bytes) -> str:
        """The device proved that it has this key. Why it is not believed yet; empty if it is from now on.

        Raises BusyError.
        """
        shown = fingerprint(key)
        state = self._states.get((device, key))
        if state is KeyState.REVOKED:
            return f"key {shown} of this device was revoked"
        if state is None:
            if self.enrolment is Enrolment.OPEN and not self._is_known(device):
                self._add(device, key, KeyState.ACCEPTED)
                _log.warning("first key of a device taken, enrolment is open", device=device, key=shown)
                return ""
            if len(self.waiting) >= MOST_WAITING:
                return f"{MOST_WAITING} keys wait to be accepted already"
            self._add(device, key, KeyState.WAITING)
            _log.warning("a key waits to be accepted", device=device, key=shown)
        return f"key {shown} of this device waits to be accepted"

    def accept(self, device: str, key: bytes, *, operator: str, witness: str) -> None:
        """Believe this key from now on, and no other of the device. Raises InvalidError, BusyError."""
        _check(device, key)

        def work(transaction: Transaction) -> None:
            require_two(transaction, operator, witness)
            now_us = transaction.now_us
            decided = (KeyState.REVOKED, now_us, operator, witness, device, KeyState.ACCEPTED)
            transaction.execute(_REVOKE, [decided])
            transaction.execute(_ACCEPT, [(device, key, KeyState.ACCEPTED, now_us, now_us, operator, witness)])

        self._ledger.commit(work)
        self._load()
        _log.warning("key accepted", device=device, key=fingerprint(key), operator=operator, witness=witness)

    def revoke(self, device: str, *, operator: str, witness: str) -> None:
        """Believe the device no more. Raises InvalidError, NotFoundError, BusyError."""
        if device not in self._accepted:
            raise NotFoundError("device", device, "a device whose key is accepted")

        def work(transaction: Transaction) -> None:
            require_two(transaction, operator, witness)
            decided = (KeyState.REVOKED, transaction.now_us, operator, witness, device, KeyState.ACCEPTED)
            transaction.execute(_REVOKE, [decided])

        self._ledger.commit(work)
        self._load()
        _log.warning("key revoked", device=device, operator=operator, witness=witness)

    def _is_known(self, device: str) -> bool:
        return any(known == device for known, _ in self._states)

    def _add(self, device: str, key: bytes, state: KeyState) -> None:
        row = (device, key, state, self._ledger.time.now_us())

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_ADD, row)

        self._ledger.write(work)
        self._load()

    def _load(self) -> None:
        rows = self._ledger.connection.execute(_ALL).fetchall()
        self._states = {(device, key): KeyState(state) for device, key, state in rows}
        self._accepted = {device: key for (device, key), state in self._states.items() if state is KeyState.ACCEPTED}


def _check(device: str, key: bytes) -> None:
    try:
        check_device(device)
    except ProtocolError as error:
        raise InvalidError("device", device, "1 to 64 of a-z, 0-9 and '-'") from error
    if device == DEVICE:
        raise InvalidError("device", device, "a device; this name is central's own")
    if len(key) != KEY_BYTES:
        raise InvalidError("key", f"{len(key)} bytes", f"{KEY_BYTES} bytes, as codepool-edge identity shows them")
