"""UHF RFID readers that speak LLRP 1.0.1 over TCP, with sllurp as the codec.

A session: connect, wait for the reader to accept us, ask what it can do, set keepalives and events, remove what other
programs left in it. A round is one ROSpec of its own: added, enabled, started, ended by the reader's clock, deleted.
The answer to the deletion comes after the last report, so only then is the round whole; whatever happens before that
(link lost, silence, garbage, antenna off) ends the round by an error and never by a shorter list of tags.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import structlog
from msgspec import Meta

from drivers.errors import DeviceGoneError, DeviceRefusedError, DriverConfigError
from drivers.readings import DeviceHealth, TagRound
from drivers.reconnect import Reconnect
from drivers.streams import TcpLine, open_stream, read_some
from drivers.wire import llrp_messages as wire
from drivers.wire.llrp import FrameError, Framer

ANSWER_TIMEOUT_S = 3.0
SILENT_KEEPALIVES = 3
LONGEST_ROUND_S = 600.0
ALL = 0

_log: structlog.stdlib.BoundLogger = structlog.get_logger("drivers.rfid_llrp")


class LlrpReader:
    """One reader. ``antennas`` (0,) is all of them; ``power_dbm`` None is full power, else the nearest not above it.

    A round has one ``TagRead`` a tag: its strongest RSSI with the antenna of that, its hits summed over all antennas.
    ``session`` 1 lets a tag answer several times in a round and again in the next; ``mode`` (and ``tari_ns`` with it)
    counts in the reader's own table of modes.
    """

    def __init__(
        self,
        *,
        name: str,
        host: Annotated[str, Meta(min_length=1)],
        port: Annotated[int, Meta(ge=1, le=65535)] = 5084,
        antennas: Annotated[tuple[Annotated[int, Meta(ge=0, le=255)], ...], Meta(min_length=1)] = (ALL,),
        power_dbm: Annotated[float, Meta(ge=-10.0, le=40.0)] | None = None,
        session: Annotated[int, Meta(ge=0, le=3)] = 1,
        tag_population: Annotated[int, Meta(ge=1, le=65535)] = 64,
        mode: Annotated[int, Meta(ge=0)] | None = None,
        tari_ns: Annotated[int, Meta(ge=0, le=25_000)] = 0,
        hop_table: Annotated[int, Meta(ge=0, le=255)] = 1,
        channel: Annotated[int, Meta(ge=0, le=65535)] = 1,
        keepalive_s: Annotated[float, Meta(ge=0.05, le=60.0)] = 5.0,
        connect_timeout_s: Annotated[float, Meta(gt=0.0, le=30.0)] = 5.0,
    ) -> None:
        if len(set(antennas)) < len(antennas) or (ALL in antennas and len(antennas) > 1):
            raise DriverConfigError(f"antennas: found {antennas}, expected each once, or 0 alone for all of them")
        if tari_ns and mode is None:
            raise DriverConfigError(f"tari_ns: found {tari_ns} without mode; name the mode it belongs to")
        self.name = name
        self._line = TcpLine(host=host, port=port)
        self._power_dbm = power_dbm
        self._keepalive_s = keepalive_s
        self._connect_timeout_s = connect_timeout_s
        self._plan = wire.RoundPlan(
            antennas=antennas,
            session=session,
            tag_population=tag_population,
            mode=mode,
            tari_ns=tari_ns,
            hop_table=hop_table,
            channel=channel,
        )
        self._link = Reconnect(name=name, driver="rfid-llrp")
        self._one_round = asyncio.Lock()
        self._rounds = 0
        self._talk: _Talk | None = None

    @property
    def health(self) -> DeviceHealth:
        return self._link.health

    async def run(self) -> None:
        await self._link.run(self._session)

    async def read_round(self, *, duration_s: float, power_dbm: float | None = None) -> TagRound:
        """Waits for its turn if a round runs. Raises DeviceRefusedError if the reader cannot go as low as that."""
        if not 0 < duration_s <= LONGEST_ROUND_S:
            raise ValueError(f"duration_s is {duration_s}, expected more than 0 and at most {LONGEST_ROUND_S}")
        async with self._one_round:
            self._link.require_ready()
            talk = self._talk
            assert talk is not None
            try:
                index, real_dbm = _power(talk.abilities, self._power_dbm if power_dbm is None else power_dbm)
                self._rounds += 1
                order = wire.RoundOrder(rospec_id=self._rounds, duration_s=duration_s, power_index=index)
                seen = await talk.inventory(wire.rospec(self._plan, order, talk.abilities), order)
            except DeviceRefusedError as refused:
                raise DeviceRefusedError(f"{self.name}: {refused}") from refused
            except DeviceGoneError as loss:
                raise DeviceGoneError(f"{self.name}: {loss}; no tag of this round counts") from loss
        return TagRound(source=self.name, tags=wire.tags(seen), duration_s=duration_s, power_dbm=real_dbm)

    async def _session(self) -> None:
        async with open_stream(self._line) as (reader, writer):
            talk = _Talk(writer, silence_s=SILENT_KEEPALIVES * self._keepalive_s)
            # No TaskGroup: in Python 3.11 it forgets that it was cancelled if a child fails at the same moment.
            listening = asyncio.create_task(talk.listen(reader), name=f"{self.name} listens")
            try:
                await self._make_ready(talk)
                await listening
            finally:
                listening.cancel()
                await asyncio.wait([listening])

    async def _make_ready(self, talk: "_Talk") -> None:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._prepare(talk)
        except TimeoutError as error:
            raise DeviceGoneError(f"not ready within {self._connect_timeout_s} s of the connection") from error
        except (DeviceRefusedError, FrameError) as error:
            raise DeviceGoneError(str(error)) from error
        self._talk = talk
        self._link.ready()

    async def _prepare(self, talk: "_Talk") -> None:
        await talk.accepted
        talk.abilities = wire.abilities(await talk.ask("GET_READER_CAPABILITIES", {"RequestedData": 0}))
        self._check(talk.abilities)
        await talk.ask("SET_READER_CONFIG", wire.settings(self._keepalive_s))
        # What another program left behind would write to our tags, or take the only place for an ROSpec.
        await talk.ask("DELETE_ACCESSSPEC", {"AccessSpecID": ALL})
        await talk.ask("DELETE_ROSPEC", {"ROSpecID": ALL})
        talk.send("ENABLE_EVENTS_AND_REPORTS")

    def _check(self, abilities: wire.Abilities) -> None:
        """Raises DeviceRefusedError if the configuration asks for what this reader does not have."""
        if max(self._plan.antennas) > abilities.antennas:
            raise DeviceRefusedError(f"antennas: found {max(self._plan.antennas)}, the reader has {abilities.antennas}")
        if self._plan.mode is not None and self._plan.mode not in abilities.modes:
            raise DeviceRefusedError(f"mode: found {self._plan.mode}, the reader has {sorted(abilities.modes)}")
        _power(abilities, self._power_dbm)


@dataclass(kw_only=True)
class _Round:
    rospec_id: int
    seen: dict[tuple[object, ...], wire.Sighting] = field(default_factory=dict)
    flaw: str = ""
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def spoil(self, flaw: str) -> None:
        self.flaw = self.flaw or flaw
        self.is_over.set()


class _Talk:
    """One connection: questions with their answers, and the round that runs."""

    def __init__(self, writer: asyncio.StreamWriter, *, silence_s: float) -> None:
        self.abilities = wire.Abilities(0, {}, {})
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer = writer
        self._silence_s = silence_s
        self._last_id = 0
        self._awaited: dict[int, asyncio.Future[wire.Message]] = {}
        self._round: _Round | None = None
        self._cause = ""
        self._loss: DeviceGoneError | None = None

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Until the link is lost, which is a DeviceGoneError with the cause."""
        framer = Framer()
        loss = DeviceGoneError("the driver stopped")
        try:
            while True:
                async with asyncio.timeout(self._silence_s):
                    data = await read_some(reader, 1 << 16)
                for frame in framer.feed(data):
                    self._handle(wire.decode(frame))
        except TimeoutError as error:
            loss = DeviceGoneError(
                f"silent for {self._silence_s:g} s, in which {SILENT_KEEPALIVES} keepalives were due"
            )
            raise loss from error
        except FrameError as error:
            loss = DeviceGoneError(f"garbled: {error}")
            raise loss from error
        except DeviceGoneError as error:
            loss = DeviceGoneError(self._cause or str(error))
            raise loss from error
        finally:
            self._give_up(loss)

    async def ask(self, name: str, fields: Mapping[str, Any]) -> wire.Message:
        """One question. Raises DeviceRefusedError if the reader says no; without an answer the link is given up."""
        if self._loss is not None:
            raise DeviceGoneError(str(self._loss))
        answer: asyncio.Future[wire.Message] = asyncio.get_running_loop().create_future()
        message_id = self.send(name, fields)
        self._awaited[message_id] = answer
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                message = await answer
            refusal = wire.refusal(message)
        except TimeoutError as error:
            raise self._break_off(f"no answer to {name} within {ANSWER_TIMEOUT_S} s") from error
        except FrameError as error:
            raise self._break_off(f"garbled: {error}") from error
        finally:
            del self._awaited[message_id]
        if refusal:
            raise DeviceRefusedError(f"the reader refused {name}: {refusal}")
        if message.name != f"{name}_RESPONSE":
            raise self._break_off(f"garbled: {message.name} came as the answer to {name}")
        return message

    def send(self, name: str, fields: Mapping[str, Any] | None = None) -> int:
        self._last_id += 1
        self._writer.write(wire.encode(name, self._last_id, fields))
        return self._last_id

    async def inventory(self, rospec: Mapping[str, Any], order: wire.RoundOrder) -> list[wire.Sighting]:
        """A whole round, or DeviceGoneError."""
        current = self._round = _Round(rospec_id=order.rospec_id)
        ours = {"ROSpecID": order.rospec_id}
        is_clean = False
        try:
            await self.ask("ADD_ROSPEC", {"ROSpec": rospec, **ours})
            await self.ask("ENABLE_ROSPEC", ours)
            await self._let_run(current, order)
            await self.ask("DELETE_ROSPEC", ours)
            is_clean = True
        finally:
            self._round = None
            if not is_clean and not self._writer.is_closing():
                self.send("DELETE_ROSPEC", {"ROSpecID": ALL})
        if current.flaw:
            raise DeviceGoneError(current.flaw)
        return list(current.seen.values())

    async def _let_run(self, current: _Round, order: wire.RoundOrder) -> None:
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        await self.ask("START_ROSPEC", {"ROSpecID": order.rospec_id})
        try:
            async with asyncio.timeout(order.duration_s + ANSWER_TIMEOUT_S):
                await current.is_over.wait()
        except TimeoutError as error:
            raise self._break_off(f"the reader did not end a round of {order.duration_s} s") from error
        if current.flaw:
            raise DeviceGoneError(current.flaw)
        if now_s() - began_s < order.shortest_s:
            raise DeviceGoneError(f"the reader ended a round of {order.duration_s} s early")

    def _handle(self, message: wire.Message) -> None:
        if message.name == "KEEPALIVE":
            self._writer.write(wire.encode("KEEPALIVE_ACK", message.message_id))
        elif message.name == "RO_ACCESS_REPORT":
            self._note(wire.sightings(message))
        elif message.name == "READER_EVENT_NOTIFICATION":
            self._react(wire.event(message))
        elif (answer := self._awaited.get(message.message_id)) and not answer.done():
            answer.set_result(message)
        else:
            _log.warning("answer_without_question", message=message.name, message_id=message.message_id)

    def _note(self, sightings: list[wire.Sighting]) -> None:
        current = self._round
        if current is None:
            return  # what was left of a cancelled round
        for one in sightings:
            if one.rospec_id in (None, current.rospec_id):
                current.seen[one.key] = one

    def _react(self, event: Mapping[str, Any]) -> None:
        refusal = wire.connection_refusal(event)
        if refusal is not None and self.accepted.done():
            _log.warning("another_client_tried")
        elif refusal:
            raise DeviceGoneError(refusal)
        elif refusal is not None:
            self.accepted.set_result(None)
        if "ConnectionCloseEvent" in event:
            raise DeviceGoneError("the reader said that it closes the connection")
        current = self._round
        if current is not None and (flaw := wire.flaw(current.rospec_id, event)):
            current.spoil(flaw)
        elif current is not None and wire.is_end_of(current.rospec_id, event):
            current.is_over.set()

    def _break_off(self, cause: str) -> DeviceGoneError:
        self._cause = self._cause or cause
        self._writer.transport.abort()
        return DeviceGoneError(cause)

    def _give_up(self, loss: DeviceGoneError) -> None:
        """Nobody waits for a link that is lost."""
        self._loss = loss
        waiting: list[asyncio.Future[Any]] = [*self._awaited.values(), self.accepted]
        for one in waiting:
            if not one.done():
                one.set_exception(DeviceGoneError(str(loss)))
        if self._round is not None:
            self._round.spoil(str(loss))


def _power(abilities: wire.Abilities, asked_dbm: float | None) -> tuple[int, float]:
    """Index and dBm of the nearest power not above the asked one. Raises DeviceRefusedError if there is none."""
    fitting = [(dbm, index) for index, dbm in abilities.powers_dbm.items() if asked_dbm is None or dbm <= asked_dbm]
    if not fitting:
        lowest_dbm = min(abilities.powers_dbm.values(), default=None)
        raise DeviceRefusedError(f"power_dbm: found {asked_dbm}, the reader's lowest is {lowest_dbm}")
    dbm, index = max(fitting)
    return index, dbm
