"""Carries out the recall lane: sets are verified, kept and in force before any other message is handled (REQ-07)."""

from collections.abc import Callable, Collection, Iterable

import structlog

from edge_agent.errors import LinkDownError, StoreError
from edge_agent.store.recalls import HeldRecalls
from edge_agent.sync.state import RecallTrouble, SyncState
from sync_protocol import codec, envelope
from sync_protocol.errors import WireError
from sync_protocol.machines import recalls as lane
from sync_protocol.messages import Ack, AskRecalls, Confirm, Down, Up, Welcome
from sync_protocol.recalls import NO_RECALLS, RecallSet, SignedRecalls, merged, open_recalls, read_recalls

_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.recalls")


class RecallLane:
    """Never waits: it may be called between any two steps of the rest of sync. Raises JournalCorruptError."""

    def __init__(
        self,
        held: HeldRecalls,
        keys: Collection[bytes],
        *,
        state: SyncState,
        send: Callable[[Up], None],
        tell: Callable[[], None],
        now_us: Callable[[], int],
    ) -> None:
        self._held = held
        self._keys = keys
        self._state = state
        self._send = send
        self._tell = tell
        self._now_us = now_us
        self._machine = lane.Recalls(held.version)
        self._opened: RecallSet = NO_RECALLS

    @property
    def version(self) -> int:
        return self._machine.version

    @property
    def wake_us(self) -> int | None:
        return self._machine.wake_us

    def hear(self, data: bytes) -> None:
        """A message of the recall topic. Whoever left it at the broker: the set in it is signed itself."""
        try:
            message = codec.decode_down(envelope.read(data).message)
        except WireError as error:
            _log.warning("message_not_understood", cause=str(error))
            return
        if isinstance(message, SignedRecalls):
            self._arrived(message)

    def take(self, message: Down) -> None:
        """Whatever else came from central: it may be a set, or name the version that central holds."""
        match message:
            case SignedRecalls() if message.version < self._machine.version:
                self._heard(message.version)  # that is all central has: what was given back may have been lost
            case SignedRecalls():
                self._arrived(message)
            case Welcome():
                self._heard(message.recall_version)
                for older in self._held.signed[1:]:
                    self._try_to_send(older)
            case Ack():
                self._heard(message.recall_version)

    def tick(self) -> None:
        self._do(self._machine.handle(lane.Tick(now_us=self._now_us())))

    def disconnected(self) -> None:
        self._do(self._machine.handle(lane.Disconnected()))

    def _heard(self, version: int) -> None:
        if version > self._machine.version and version <= self._state.unverified.version:
            return  # it came, and nobody here can verify it: asking again would bring the same
        self._do(self._machine.handle(lane.Heard(version=version, now_us=self._now_us())))

    def _arrived(self, signed: SignedRecalls) -> None:
        if signed.version == self._machine.version:
            if self._is_held(signed):
                self._confirm()  # said again: central has not heard that it is held here
            else:
                self._give_back()  # two centrals were alive in one second: this one is to make one set of both
            return
        is_authentic = False
        if signed.version > self._machine.version:
            try:
                self._opened = open_recalls(signed, self._keys)
                is_authentic = True
            except WireError as error:
                _log.error("recalls_not_taken", version=signed.version, keys=len(self._keys), cause=str(error))
        self._do(self._machine.handle(lane.Arrived(signed=signed, is_authentic=is_authentic)))
        if not is_authentic and not self._keys and signed.version > self._machine.version:
            self._show_unverified(signed)

    def _show_unverified(self, signed: SignedRecalls) -> None:
        try:
            self._state.unverified = read_recalls(signed)
        except WireError as error:
            _log.warning("message_not_understood", cause=str(error))
        self._tell()

    def _do(self, effects: Iterable[lane.Effect]) -> None:
        for effect in effects:
            match effect:
                case lane.Ask():
                    self._try_to_send(AskRecalls())
                case lane.Keep():
                    self._keep(effect.signed)
                case lane.Confirm():
                    self._confirm()
                case lane.GiveBack():
                    self._give_back()
                case lane.Alarm():
                    self._state.recall_trouble = RecallTrouble.FORGED if self._keys else RecallTrouble.NO_KEY
                    self._tell()

    def _keep(self, signed: SignedRecalls) -> None:
        state = self._state
        state.recall_trouble, state.unverified = None, NO_RECALLS
        try:
            self._held.keep(signed, self._opened)
        except StoreError as error:  # in force, and asked for again until it is on the disk, too
            _log.exception("recalls_not_stored", version=signed.version)
            state.store_trouble = str(error)
            self._heard(signed.version)
        else:
            _log.warning("recalls_in_force", version=signed.version, active=len(self._held.active))
            self._do(self._machine.handle(lane.Kept(version=signed.version)))
            for older in self._held.signed[1:]:
                self._try_to_send(older)
        self._tell()

    def _is_held(self, signed: SignedRecalls) -> bool:
        """Whether it says what the newest set here says."""
        try:
            return merged(read_recalls(signed)) == merged(read_recalls(self._held.signed[0]))
        except WireError:
            return False

    def _give_back(self) -> None:
        for signed in self._held.signed:
            self._try_to_send(signed)

    def _confirm(self) -> None:
        self._try_to_send(Confirm(recall_version=self._machine.version))

    def _try_to_send(self, message: Up) -> None:
        try:
            self._send(message)
        except LinkDownError as error:
            _log.info("not_sent", message=type(message).__name__, cause=str(error))
