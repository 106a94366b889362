"""LLRP messages by sllurp: the records of its decoder and encoder in the shapes that the driver needs.

sllurp is used as a codec only, and not for tag reports (``llrp_reports``). Its client class swallows what it cannot
decode, with the rest of the buffer, and its thread registers a callback after it has sent the question; a round could
then lack tags without anybody noticing. Here each frame either becomes a message or raises ``FrameError``.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from sllurp.llrp import LLRPMessage
from sllurp.llrp_errors import LLRPError
from sllurp.llrp_proto import LLRPROSpec

from drivers.readings import TagRead
from drivers.wire.llrp import HEADER, FrameError, MessageType, read_header
from drivers.wire.llrp_reports import read_entries

# All of this sllurp raises on bytes that lie about their structure.
_UNDECODABLE = (LLRPError, struct.error, LookupError, ValueError, TypeError, AttributeError, RecursionError)
_EVENTS = ("ROSpecEvent", "ReaderExceptionEvent", "AntennaEvent")
_CONTENT = {
    "EnableROSpecID": True,
    "EnableAntennaID": True,
    "EnablePeakRSSI": True,
    "EnableFirstSeenTimestamp": True,
    "EnableLastSeenTimestamp": True,
    "EnableTagSeenCount": True,
}


class Message(NamedTuple):
    """One decoded message. ``fields``: its parameters by name, as sllurp nests them."""

    name: str
    message_id: int
    fields: Mapping[str, Any]


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """One entry of a report. Two with the same ``key`` are one observation, reported twice."""

    rospec_id: int | None
    epc: str
    antenna: int
    rssi_dbm: int
    hits: int
    key: tuple[object, ...]


class RoundPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What all rounds of a reader have in common. ``mode`` None is the reader's choice."""

    antennas: tuple[int, ...]
    session: int
    tag_population: int
    mode: int | None
    tari_ns: int
    hop_table: int
    channel: int


class RoundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One round. ``power_index`` counts in the reader's own table."""

    rospec_id: int
    duration_s: float
    power_index: int

    @property
    def shortest_s(self) -> float:
        """Below this the reader did not do what was asked; its clock may go a little faster than ours."""
        return self.duration_s * 0.95 - 0.01


class Abilities(NamedTuple):
    """What the reader says that it can do. ``powers_dbm`` is its TransmitPowerLevelTable, by index."""

    antennas: int
    powers_dbm: Mapping[int, float]
    modes: Mapping[int, Mapping[str, int]]


def decode(frame: bytes) -> Message:
    """Raises FrameError."""
    header = read_header(frame)
    if header.kind == MessageType.RO_ACCESS_REPORT:
        fields: Mapping[str, Any] = {"ID": header.message_id, "TagReportData": read_entries(frame[HEADER.size :])}
        return Message(MessageType.RO_ACCESS_REPORT.name, header.message_id, fields)
    try:
        decoded = LLRPMessage(msgbytes=frame)
    except _UNDECODABLE as error:
        raise FrameError(f"undecodable message {frame[:16].hex()}…: {type(error).__name__}: {error}") from error
    fields = decoded.msgdict[decoded.msgname]
    return Message(decoded.msgname, fields["ID"], fields)


def encode(name: str, message_id: int, fields: Mapping[str, Any] | None = None) -> bytes:
    encoded: bytes = LLRPMessage(msgdict={name: {**(fields or {}), "ID": message_id}}).msgbytes
    return encoded


def settings(keepalive_s: float) -> Mapping[str, Any]:
    """The fields of SET_READER_CONFIG: keepalives and the events that can spoil a round."""
    return {
        "ResetToFactoryDefaults": False,
        "ReaderEventNotificationSpec": {"EventNotificationState": dict.fromkeys(_EVENTS, True)},
        "KeepaliveSpec": {"KeepaliveTriggerType": 1, "TimeInterval": round(keepalive_s * 1000)},
    }


def rospec(plan: RoundPlan, order: RoundOrder, reader: Abilities) -> Mapping[str, Any]:
    """The ROSpec of one round: begun by START_ROSPEC, ended by time, reported when its inventory ends."""
    spec: dict[str, Any] = LLRPROSpec(
        None if plan.mode is None else reader.modes[plan.mode],
        order.rospec_id,
        antennas=plan.antennas,
        tx_power=dict.fromkeys(plan.antennas, order.power_index),
        duration_sec=order.duration_s,
        tag_content_selector=_CONTENT,
        tari=plan.tari_ns,
        session=plan.session,
        tag_population=plan.tag_population,
        frequencies={"HopTableId": plan.hop_table, "ChannelList": [plan.channel]},
    )
    # sllurp starts at once when enabled; some readers then start again after the end.
    spec["ROBoundarySpec"]["ROSpecStartTrigger"]["ROSpecStartTriggerType"] = "Null"
    return spec


def abilities(message: Message) -> Abilities:
    """From GET_READER_CAPABILITIES_RESPONSE. Raises FrameError if a table is missing."""
    try:
        band = message.fields["RegulatoryCapabilities"]["UHFBandCapabilities"]
        return Abilities(
            antennas=message.fields["GeneralDeviceCapabilities"]["MaxNumberOfAntennaSupported"],
            powers_dbm={one["Index"]: one["TransmitPowerValue"] / 100 for one in band["TransmitPowerLevelTableEntry"]},
            modes={one["ModeIdentifier"]: one for one in band["UHFC1G2RFModeTable"]["UHFC1G2RFModeTableEntry"]},
        )
    except (KeyError, TypeError) as error:
        raise FrameError(f"the reader's capabilities lack {error}") from error


def refusal(message: Message) -> str:
    """Why the reader refused, empty if it did not. Raises FrameError if there is no status."""
    try:
        said = message.fields["LLRPStatus"]
        code = said.get("StatusCode", "a status that LLRP 1.0.1 does not have")
        text = said["ErrorDescription"].decode(errors="replace")
    except (KeyError, TypeError, AttributeError) as error:
        raise FrameError(f"{message.name} has no status") from error
    return "" if code == "Success" else f"{code}: {text}"


def event(message: Message) -> Mapping[str, Any]:
    """What a READER_EVENT_NOTIFICATION says. Raises FrameError."""
    said: Mapping[str, Any] | None = message.fields.get("ReaderEventNotificationData")
    if said is None:
        raise FrameError("an event says nothing")
    return said


def connection_refusal(event: Mapping[str, Any]) -> str | None:
    """Why the reader does not accept us, empty if it does; None if the event is about another thing."""
    said: Mapping[str, str] = event.get("ConnectionAttemptEvent", {})
    outcome = said.get("Status")
    if outcome is None:
        return None
    if "initiated connection already exists" in outcome or "Another connection" in outcome:
        return "another client holds the reader, which serves one at a time; close that one, or restart the reader"
    return "" if outcome == "Success" else f"the reader does not accept the connection: {outcome}"


def is_end_of(rospec_id: int, event: Mapping[str, Any]) -> bool:
    said = event.get("ROSpecEvent", {})
    return bool(said) and said["ROSpecID"] == rospec_id and said["EventType"] == "End_of_ROSpec"


def flaw(rospec_id: int, event: Mapping[str, Any]) -> str:
    """Why a round in which this event came cannot be whole; empty if it can."""
    if event.get("AntennaEvent", {}).get("EventType") == "Disconnected":
        return f"antenna {event['AntennaEvent']['AntennaID']} came off"
    if "ReaderExceptionEvent" in event:
        return f"the reader reported a fault: {event['ReaderExceptionEvent']['Message'].decode(errors='replace')}"
    if "ReportBufferOverflowErrorEvent" in event:
        return "the reader's report buffer ran over"
    ended = event.get("ROSpecEvent", {})
    if ended and ended["ROSpecID"] == rospec_id and ended["EventType"] == "Preemption_of_ROSpec":
        return "the reader gave another program precedence"
    return ""


def sightings(message: Message) -> list[Sighting]:
    """The entries of an RO_ACCESS_REPORT; a blank tag has no EPC and is left out. Raises FrameError."""
    try:
        return [
            _sighting(message.message_id, place, entry)
            for place, entry in enumerate(message.fields["TagReportData"])
            if entry["EPC"]
        ]
    except (KeyError, TypeError) as error:
        raise FrameError(f"a report lacks {error}, though it was asked for") from error


def _sighting(message_id: int, place: int, entry: Mapping[str, Any]) -> Sighting:
    epc: bytes = entry["EPC"]
    antenna: int = entry["AntennaID"]
    said = entry.get
    if (first := said("FirstSeenTimestampUTC")) is not None:
        key: tuple[object, ...] = (epc, antenna, first, said("LastSeenTimestampUTC"))
    elif (first := said("FirstSeenTimestampUptime")) is not None:  # of a reader without a clock
        key = (epc, antenna, first, said("LastSeenTimestampUptime"))
    else:
        key = (message_id, place)
    return Sighting(said("ROSpecID"), epc.decode().upper(), antenna, entry["PeakRSSI"], said("TagSeenCount", 1), key)


def tags(sightings: Iterable[Sighting]) -> tuple[TagRead, ...]:
    """One reading a tag, in the order of EPC: the strongest RSSI with its antenna, and all hits of all antennas."""
    best: dict[str, Sighting] = {}
    hits: dict[str, int] = {}
    for one in sightings:
        hits[one.epc] = hits.get(one.epc, 0) + one.hits
        if one.epc not in best or one.rssi_dbm > best[one.epc].rssi_dbm:
            best[one.epc] = one
    return tuple(
        TagRead(epc=epc, antenna=best[epc].antenna, rssi_dbm=best[epc].rssi_dbm, hits=hits[epc]) for epc in sorted(best)
    )
