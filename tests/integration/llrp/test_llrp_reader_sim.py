"""The simulated reader as any client meets it: a raw one of bytes, and sllurp's own client, unmodified."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sllurp.llrp import LLRPReaderClient, LLRPReaderConfig, LLRPReaderState

from drivers.wire import llrp_messages as wire
from drivers.wire.llrp import HEADER, Framer, MessageType, read_header
from hardware_sims.devices import llrp_frames as frames
from hardware_sims.devices.llrp_reader import LlrpReader
from hardware_sims.radio import Place, RadioField

EPCS = [f"E2801160{one:016X}" for one in range(20)]
EVERYTHING = frames.Content(0xFFC0)


@pytest.fixture
async def reader() -> AsyncIterator[LlrpReader]:
    field = RadioField(seed=2)
    for epc in EPCS:
        field.place(epc, Place(cabinet=1))
    async with LlrpReader(field) as reader:
        yield reader


class Client:
    """Bytes out, messages in; answers are read by sllurp."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._framer = Framer()
        self._waiting: list[bytes] = []
        self.writer = writer

    async def next_frame(self) -> bytes:
        """``b""`` once the reader has hung up."""
        async with asyncio.timeout(5):
            while not self._waiting:
                data = await self._reader.read(4096)
                if not data:
                    return b""
                self._waiting += self._framer.feed(data)
        return self._waiting.pop(0)

    async def next(self) -> wire.Message:
        return wire.decode(await self.next_frame())

    async def ask(self, frame: bytes) -> wire.Message:
        self.writer.write(frame)
        return await self.next()

    async def refusal(self, frame: bytes) -> str:
        return wire.refusal(await self.ask(frame))


@asynccontextmanager
async def connected(device: LlrpReader) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", device.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def accepted(device: LlrpReader) -> AsyncIterator[Client]:
    async with connected(device) as client:
        assert wire.connection_refusal(wire.event(await client.next())) == ""
        yield client


def about(kind: MessageType, rospec_id: int = 1, *, message_id: int = 50) -> bytes:
    return frames.about_rospec(kind, message_id, rospec_id)


def spec(**changes: Any) -> bytes:
    settings: dict[str, Any] = {"rospec_id": 1, "duration_ms": 60, "content": EVERYTHING, **changes}
    return frames.add_rospec(40, frames.RoSpec(**settings))


async def test_a_round_by_hand_from_first_event_to_last(reader: LlrpReader) -> None:
    async with accepted(reader) as client:
        assert (
            await client.refusal(frames.set_reader_config(1, frames.Settings(events={frames.Event.ROSPEC: True}))) == ""
        )
        assert await client.refusal(spec()) == ""
        assert await client.refusal(about(MessageType.ENABLE_ROSPEC)) == ""
        assert await client.refusal(about(MessageType.START_ROSPEC)) == ""
        began, report, ended = [await client.next() for _ in range(3)]
        assert wire.event(began)["ROSpecEvent"]["EventType"] == "Start_of_ROSpec"
        entries = report.fields["TagReportData"]
        assert {entry["EPC"].decode().upper() for entry in entries} <= set(EPCS)
        assert all(
            entry["FirstSeenTimestampUTC"] <= entry["LastSeenTimestampUTC"] and entry["ROSpecID"] == 1
            for entry in entries
        )
        while ended.name == "RO_ACCESS_REPORT":
            ended = await client.next()
        assert wire.is_end_of(1, wire.event(ended))


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (frames.Content(0), {"EPC"}),
        (frames.Content.ANTENNA | frames.Content.SEEN_COUNT, {"EPC", "AntennaID", "TagSeenCount"}),
    ],
)
async def test_a_report_has_what_was_selected(reader: LlrpReader, content: frames.Content, keys: set[str]) -> None:
    async with accepted(reader) as client:
        await client.refusal(spec(content=content, start=frames.Start.IMMEDIATE))
        await client.refusal(about(MessageType.ENABLE_ROSPEC))
        assert {frozenset(entry) for entry in (await client.next()).fields["TagReportData"]} == {frozenset(keys)}


async def test_a_round_without_a_time_runs_until_it_is_stopped(reader: LlrpReader) -> None:
    async with accepted(reader) as client:
        for request in (
            spec(duration_ms=0, report_every=5),
            about(MessageType.ENABLE_ROSPEC),
            about(MessageType.START_ROSPEC),
        ):
            assert await client.refusal(request) == ""
        assert await client.refusal(about(MessageType.START_ROSPEC)) == "A_Invalid: ROSpec 1 runs already"
        assert await client.refusal(about(MessageType.STOP_ROSPEC)) == ""
        assert len((await client.next()).fields["TagReportData"]) == 5


async def test_a_deleted_rospec_reports_no_more(reader: LlrpReader) -> None:
    async with accepted(reader) as client:
        for request in (spec(start=frames.Start.IMMEDIATE), about(MessageType.ENABLE_ROSPEC)):
            assert await client.refusal(request) == ""
        assert await client.refusal(about(MessageType.DELETE_ROSPEC, 0)) == ""
        assert await client.refusal(about(MessageType.START_ROSPEC)) == "A_Invalid: there is no ROSpec 1"
        await asyncio.sleep(0.1)
        assert await client.refusal(about(MessageType.DELETE_ROSPEC, 0)) == ""


REFUSALS = {
    "unknown rospec": (about(MessageType.ENABLE_ROSPEC, 7), "A_Invalid: there is no ROSpec 7"),
    "rospec 0": (spec(rospec_id=0), "FieldError"),
    "antenna": (spec(antennas=(5,)), "FieldError: AntennaID 5"),
    "power": (spec(power_index={0: 42}), "FieldError: TransmitPower: expected an index from 1 to 41"),
    "capabilities": (frames.message(MessageType.GET_READER_CAPABILITIES, 1, b"\x09"), "FieldError: RequestedData is 9"),
    "no body": (frames.message(MessageType.ADD_ROSPEC, 1), "ParameterError: found parameter 177 0 times"),
    "half a body": (spec()[:2] + (40).to_bytes(4) + spec()[6:40], "ParameterError: parameter 177 says"),
    "unsupported message": (frames.message(40, 1), "UnsupportedMessage: message type 40"),
    "newer version": (HEADER.pack(2 << 10 | 1, 11, 1) + b"\x00", "UnsupportedVersion: version 2"),
}


@pytest.mark.parametrize("what", REFUSALS)
async def test_nonsense_is_refused_with_a_reason_and_the_link_goes_on(reader: LlrpReader, what: str) -> None:
    request, says = REFUSALS[what]
    async with accepted(reader) as client:
        assert says in await client.refusal(request)
        assert await client.refusal(spec()) == ""
        assert await client.refusal(spec(rospec_id=2)) == "A_OutOfRange: already holds ROSpec 1, at most 1 fits"


async def test_what_is_no_llrp_gets_an_error_message_and_no_link(reader: LlrpReader) -> None:
    async with accepted(reader) as client:
        refused = await client.ask(b"GET / HTTP/1.1\r\n\r\n")
        assert refused.name == "ERROR_MESSAGE"
        assert "no LLRP" in wire.refusal(refused)
        assert await client.next_frame() == b""


async def test_keepalives_come_at_their_pace_and_must_be_answered(reader: LlrpReader) -> None:
    async with accepted(reader) as client:
        await client.refusal(frames.set_reader_config(1, frames.Settings(keepalive_ms=200)))
        for _ in range(4):
            frame = await client.next_frame()
            assert read_header(frame).kind == MessageType.KEEPALIVE
            client.writer.write(frames.keepalive_ack(read_header(frame).message_id))
        unanswered = [await client.next_frame() for _ in range(3)]
        assert [bool(frame) for frame in unanswered] == [True, True, False]
    assert not reader.is_held


async def test_one_client_at_a_time(reader: LlrpReader) -> None:
    async with accepted(reader) as first:
        async with connected(reader) as second:
            refusal = wire.connection_refusal(wire.event(await second.next()))
            assert refusal is not None
            assert "another client holds the reader" in refusal
            assert await second.next_frame() == b""
        told = wire.event(await first.next())
        assert told["ConnectionAttemptEvent"]["Status"] == "Another connection attempted"
        closed = await first.ask(frames.message(MessageType.CLOSE_CONNECTION, 9))
        assert (closed.name, closed.message_id, wire.refusal(closed)) == ("CLOSE_CONNECTION_RESPONSE", 9, "")
        assert await first.next_frame() == b""
    async with accepted(reader):
        assert reader.is_held


async def test_a_door_is_told_to_whom_asked_for_it(reader: LlrpReader) -> None:
    async with accepted(reader) as client:
        await reader.set_input(1, is_high=True)
        await client.refusal(frames.set_reader_config(1, frames.Settings(events={frames.Event.GPI: True})))
        await reader.set_input(1, is_high=False)
        assert wire.event(await client.next())["GPIEvent"] == {"GPIPortNumber": 1, "GPIEvent": False}


async def test_settings_outlive_a_connection_but_not_a_reboot(reader: LlrpReader) -> None:
    async with accepted(reader) as client:
        assert await client.refusal(spec()) == ""
    async with asyncio.timeout(2):
        while reader.is_held:  # noqa: ASYNC110 - the simulator has no event for it
            await asyncio.sleep(0.005)
    async with accepted(reader) as client:
        assert await client.refusal(about(MessageType.ENABLE_ROSPEC)) == ""
        await reader.reboot()
        assert await client.next_frame() == b""
    async with accepted(reader) as client:
        assert await client.refusal(about(MessageType.ENABLE_ROSPEC)) == "A_Invalid: there is no ROSpec 1"


async def test_sllurps_own_client_finds_the_tags(reader: LlrpReader) -> None:
    """Its whole state machine, driven from asyncio: capabilities, configuration, reset, inventory."""
    settings = LLRPReaderConfig({"duration": 0.1, "antennas": [0], "tx_power": 0, "keepalive_interval": 1000})
    client = LLRPReaderClient("127.0.0.1", reader.port, settings)
    found: set[str] = set()
    is_over = asyncio.Event()

    def note(_: LLRPReaderClient, entries: list[dict[str, Any]]) -> None:
        found.update(entry["EPC"].decode().upper() for entry in entries)
        is_over.set()

    client.add_tag_report_callback(note)
    await asyncio.to_thread(client.connect, start_main_loop=False)
    loop = asyncio.get_running_loop()
    connection = client._socket
    loop.add_reader(connection, lambda: client.raw_data_received(connection.recv(65536)))
    try:
        await asyncio.wait_for(is_over.wait(), 5)
    finally:
        loop.remove_reader(connection)
        client.hard_disconnect()
    assert client.llrp.state == LLRPReaderState.STATE_INVENTORYING
    assert client.llrp.tx_power_table[1:] == list(reader.make.powers_dbm)
    assert len(client.llrp.reader_config["AntennaConfiguration"]) == reader.make.antennas
    assert found == reader.field.inside(1)
