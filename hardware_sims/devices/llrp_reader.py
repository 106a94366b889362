"""A UHF reader that speaks LLRP 1.0.1 over TCP and hears the tags of a ``RadioField``.

It does what a cabinet asks of a reader: one client at a time, one ROSpec with one AISpec, started by the client or at
once, ended by time or by the client; keepalives, GPI inputs, events. What it does not do (access operations, surveys,
other triggers) it refuses with a status, as a real reader does. ROSpecs and settings outlive a connection but not a
reboot. The plain attributes are its faults; set them at any time.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from drivers.wire.llrp import HEADER, VERSION_1_0_1, FrameError, Framer, Header, MessageType, read_header
from hardware_sims.devices import llrp_frames as frames
from hardware_sims.devices.llrp_capabilities import Make, capabilities, configuration
from hardware_sims.devices.llrp_frames import Connection, Event, RoSpec, RoSpecChange, Start, Status
from hardware_sims.devices.llrp_link import Link, now_us
from hardware_sims.devices.llrp_requests import RefusedError
from hardware_sims.devices.llrp_rospecs import Memory
from hardware_sims.faults import Line
from hardware_sims.radio import Heard, Inventory, RadioField
from hardware_sims.serve import Cable, TcpPort

_Act = Callable[[Link, bytes], bytes | None]


class LlrpReader:
    """Use as an async context manager; ``port`` and ``url`` are known inside."""

    def __init__(
        self,
        field: RadioField,
        *,
        cabinet: int = 1,
        make: Make | None = None,
        port: int = 0,
        line: Line | None = None,
        tags_per_report: int = 50,
    ) -> None:
        self.field = field
        self.make = make or Make()
        self.rounds = 0
        self.is_mute = False
        """Sends no keepalives."""
        self.is_hung = False
        """Takes bytes and never says a word; the TCP connection stays."""
        self.does_repeat_reports = False
        """Sends every report twice."""
        self.reboots_after_reports: int | None = None
        """Loses its power once that many reports of a round have left it."""
        self._cabinet = cabinet
        self._tags_per_report = tags_per_report
        self._port = TcpPort(self._talk, port=port, line=line)
        self._memory = Memory(self.make)
        self._link: Link | None = None
        self._reboots: set[asyncio.Task[None]] = set()
        self._off: set[int] = set()
        self._acts = self._table()

    def _table(self) -> dict[int, _Act]:
        return {
            MessageType.GET_READER_CAPABILITIES: self._describe,
            MessageType.GET_READER_CONFIG: lambda _, __: configuration(self.make, self._memory),
            MessageType.SET_READER_CONFIG: self._configure,
            MessageType.ADD_ROSPEC: lambda _, body: self._memory.add(body),
            MessageType.DELETE_ROSPEC: self._delete,
            MessageType.ENABLE_ROSPEC: self._enable,
            MessageType.DISABLE_ROSPEC: self._disable,
            MessageType.START_ROSPEC: self._start,
            MessageType.STOP_ROSPEC: self._stop,
            MessageType.DELETE_ACCESSSPEC: lambda _, __: None,  # there never is one
            MessageType.CLOSE_CONNECTION: lambda _, __: None,
        }

    @property
    def port(self) -> int:
        return self._port.port

    @property
    def url(self) -> str:
        return self._port.url

    @property
    def is_held(self) -> bool:
        """Whether a client is connected."""
        return self._link is not None

    async def __aenter__(self) -> Self:
        await self._port.plug()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._reboots)
        await self._port.__aexit__(kind, error, trace)

    async def reboot(self, *, down_s: float = 0.0) -> None:
        """Cut the power for that long: the link dies without a word, all settings are lost."""
        await self._port.unplug()
        self._memory = Memory(self.make)
        self.reboots_after_reports = None
        await asyncio.sleep(down_s)
        await self._port.plug()

    async def send(self, data: bytes) -> None:
        """Put raw bytes on the line of the present client. Raises ConnectionResetError if there is none."""
        if self._link is None:
            raise ConnectionResetError("no client is connected")
        await self._link.cable.write(data)

    async def set_input(self, port: int, *, is_high: bool) -> None:
        """A GPI input changes: the contact of a door."""
        self._memory.inputs[port] = is_high
        await self._tell(Event.GPI, frames.gpi_event(port, is_high=is_high))

    async def plug_antenna(self, antenna: int, *, is_connected: bool) -> None:
        (self._off.discard if is_connected else self._off.add)(antenna)
        await self._tell(Event.ANTENNA, frames.antenna_event(antenna, is_connected=is_connected))

    async def _tell(self, kind: Event, said: bytes) -> None:
        if self._link is not None and self._memory.events.get(kind):
            await self._link.tell(said)

    async def _talk(self, cable: Cable) -> None:
        if self._link is not None:
            await cable.write(frames.event(1, now_us(), frames.connection_event(Connection.CLIENT_EXISTS)))
            await self._link.tell(frames.connection_event(Connection.ANOTHER_ATTEMPT))
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                self._link = Link(cable, tasks, self)
                await self._serve(self._link)
                self._link.end()
        except* ConnectionError:
            pass  # the client hung up in the middle of a word
        finally:
            self._link = None

    async def _serve(self, link: Link) -> None:
        """Obey until the line is cut."""
        await link.tell(frames.connection_event(Connection.SUCCESS))
        link.keep_alive(self._memory.keepalive_ms)
        framer = Framer()
        while data := await link.cable.read():
            try:
                requests = framer.feed(data)
            except FrameError as error:
                await link.complain(0, Status.PARAMETER_ERROR, str(error))
                return
            for request in requests:
                if not self.is_hung:
                    await self._obey(link, read_header(request), request[HEADER.size :])

    async def _obey(self, link: Link, header: Header, body: bytes) -> None:
        if header.version != VERSION_1_0_1:
            await link.complain(header.message_id, Status.UNSUPPORTED_VERSION, f"version {header.version}")
        elif header.kind == MessageType.KEEPALIVE_ACK:
            link.unanswered = 0
        elif header.kind in self._acts:
            said = self._act(link, header.kind, body)
            is_last = header.kind == MessageType.CLOSE_CONNECTION
            answer = header.kind - 10 if is_last else header.kind + 10
            await link.say(frames.message(answer, header.message_id, said))
            if is_last:
                link.cable.hang_up()
        elif header.kind != MessageType.ENABLE_EVENTS_AND_REPORTS:  # nothing is held back here
            await link.complain(header.message_id, Status.UNSUPPORTED_MESSAGE, f"message type {header.kind}")

    def _act(self, link: Link, kind: int, body: bytes) -> bytes:
        """The body of the answer: a status first."""
        try:
            more = self._acts[kind](link, body) or b""
        except RefusedError as refused:
            return frames.status(refused.status, refused.text)
        except FrameError as error:
            return frames.status(Status.PARAMETER_ERROR, str(error))
        return frames.status(Status.SUCCESS) + more

    def _describe(self, _: Link, body: bytes) -> bytes:
        (requested,), _rest = frames.take("B", body)
        return capabilities(self.make, requested)

    def _configure(self, link: Link, body: bytes) -> None:
        self._memory.configure(body)
        link.keep_alive(self._memory.keepalive_ms)

    def _delete(self, link: Link, body: bytes) -> None:
        self._memory.delete(body)
        link.cancel_round()

    def _enable(self, link: Link, body: bytes) -> None:
        spec = self._memory.enable(body)
        if spec.start is Start.IMMEDIATE:
            link.begin(self._run(link, spec))

    def _disable(self, link: Link, body: bytes) -> None:
        self._memory.disable(body)
        link.is_stopped.set()

    def _start(self, link: Link, body: bytes) -> None:
        spec = self._memory.enabled(body)
        if link.is_in_round:
            raise RefusedError(Status.INVALID, f"ROSpec {spec.rospec_id} runs already")
        link.begin(self._run(link, spec))

    def _stop(self, link: Link, body: bytes) -> None:
        self._memory.known(body)
        link.is_stopped.set()

    async def _run(self, link: Link, spec: RoSpec) -> None:
        """One run of an ROSpec, from its first event to its last."""
        self.rounds += 1
        began_us, began_s = now_us(), time.monotonic()
        await self._tell(Event.ROSPEC, frames.rospec_event(RoSpecChange.STARTED, spec.rospec_id))
        lasts_s = min((one / 1000 for one in (spec.duration_ms, spec.inventory_ms) if one), default=None)
        with suppress(TimeoutError):  # over by time is the usual end
            async with asyncio.timeout(lasts_s):
                await link.is_stopped.wait()
        inventory = Inventory(
            cabinet=self._cabinet,
            round_no=self.rounds,
            # The planned time where it was kept, so that a busy machine does not change what is heard.
            duration_s=time.monotonic() - began_s if lasts_s is None or link.is_stopped.is_set() else lasts_s,
            power_dbm=self._memory.powers(spec, off=self._off),
            shelves=self.make.antennas,
        )
        await self._report(link, spec, [_seen(one, began_us) for one in self.field.listen(inventory)])
        await self._tell(Event.ROSPEC, frames.rospec_event(RoSpecChange.ENDED, spec.rospec_id))

    async def _report(self, link: Link, spec: RoSpec, seen: list[frames.Seen]) -> None:
        entries = [frames.tag_report(one, spec.content, spec.rospec_id) for one in seen]
        size = min(self._tags_per_report, spec.report_every or self._tags_per_report)
        for sent, start in enumerate(range(0, len(entries), size)):
            if self.reboots_after_reports == sent:
                self._reboots.add(asyncio.create_task(self.reboot(), name="simulated reader reboots"))
                await asyncio.Event().wait()  # not a word more: the reboot cancels this round
            frame = frames.report(link.next_id(), entries[start : start + size])
            await link.say(frame * 2 if self.does_repeat_reports else frame)


def _seen(heard: Heard, began_us: int) -> frames.Seen:
    return frames.Seen(
        epc=heard.epc,
        antenna=heard.antenna,
        rssi_dbm=max(-128, min(127, heard.rssi_dbm)),
        first_seen_us=began_us + round(heard.first_s * 1e6),
        last_seen_us=began_us + round(heard.last_s * 1e6),
        count=min(0xFFFF, heard.hits),
    )
