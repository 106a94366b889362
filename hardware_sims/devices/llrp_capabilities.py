"""What the simulated reader says of itself: a small fixed reader for 920 to 925 MHz, the Chinese UHF band."""

from dataclasses import dataclass
from typing import Protocol

from hardware_sims.devices.llrp_frames import C1G2, Event, Status, fields, tlv
from hardware_sims.devices.llrp_requests import RefusedError

FIRST_CHANNEL_KHZ, CHANNEL_STEP_KHZ, CHANNELS = 920_625, 250, 16
CHINA = 156
# ModeIdentifier, M value (0 FM0, 2 Miller 4, 3 Miller 8), backscatter rate in bit/s, Tari in ns.
MODES = ((0, 0, 640_000, 6_250), (2, 2, 274_000, 20_000), (3, 3, 170_600, 20_000))
MODE_INDEXES = frozenset(mode for mode, *_ in MODES)


@dataclass(frozen=True, kw_only=True)
class Make:
    """One model of reader: its antennas and its TransmitPowerLevelTable, index 1 upwards."""

    antennas: int = 4
    powers_dbm: tuple[float, ...] = tuple(10 + step / 2 for step in range(41))
    firmware: str = "codepool-sims"
    inputs: int = 2


def capabilities(make: Make, requested: int) -> bytes:
    """The parameters of GET_READER_CAPABILITIES_RESPONSE for one RequestedData. Raises RefusedError."""
    parts = {1: general(make), 2: llrp(), 3: regulatory(make), 4: air_protocol()}
    parts[0] = b"".join(parts.values())
    if requested not in parts:
        raise RefusedError(Status.FIELD_ERROR, f"RequestedData is {requested}, expected 0 to 4")
    return parts[requested]


def general(make: Make) -> bytes:
    firmware = make.firmware.encode()
    ranges = (tlv(149, fields("HHH", antenna, 1, 1)) for antenna in range(1, make.antennas + 1))
    protocols = (tlv(140, fields("HHB", antenna, 1, C1G2)) for antenna in range(1, make.antennas + 1))
    has_utc_clock = 1 << 14
    return tlv(
        137,
        fields("HHIIH", make.antennas, has_utc_clock, 0, 0, len(firmware)),
        firmware,
        tlv(139, fields("HH", 1, 0)),
        *ranges,
        tlv(141, fields("HH", make.inputs, 0)),
        *protocols,
    )


def llrp() -> bytes:
    """One ROSpec with one AISpec and one inventory each; no access operations."""
    return tlv(142, fields("BBHIIIII", 0, 1, 0, 1, 1, 1, 0, 0))


def regulatory(make: Make) -> bytes:
    powers = (tlv(145, fields("Hh", index, round(dbm * 100))) for index, dbm in enumerate(make.powers_dbm, start=1))
    channels = [FIRST_CHANNEL_KHZ + CHANNEL_STEP_KHZ * step for step in range(CHANNELS)]
    hopping = tlv(147, fields(f"BBH{CHANNELS}I", 1, 0, CHANNELS, *channels))
    modes = (
        tlv(329, fields("IBBBBIIIII", mode, 0, m_value, 0, 0, rate, 1500, tari, tari, 0))
        for mode, m_value, rate, tari in MODES
    )
    band = tlv(144, *powers, tlv(146, fields("B", 1 << 7), hopping), tlv(328, *modes))
    return tlv(143, fields("HH", CHINA, 0), band)


def air_protocol() -> bytes:
    return tlv(327, fields("BH", 0, 1))


class Configured(Protocol):
    keepalive_ms: int
    events: dict[int, bool]
    inputs: dict[int, bool]


def configuration(make: Make, now: Configured) -> bytes:
    """The parameters of GET_READER_CONFIG_RESPONSE, all of them."""
    antennas = range(1, make.antennas + 1)
    full = len(make.powers_dbm)
    return b"".join(
        (
            tlv(218, fields("BH", 0, 8), bytes.fromhex("02C0DEFFFE000001")),
            *(tlv(221, fields("BHh", 1 << 7, antenna, 0)) for antenna in antennas),
            *(
                tlv(222, fields("H", antenna), tlv(223, fields("H", 1)), tlv(224, fields("HHH", 1, 1, full)))
                for antenna in antennas
            ),
            tlv(244, *(tlv(245, fields("HB", kind, now.events.get(kind, False) << 7)) for kind in Event)),
            tlv(237, fields("BH", 1, 0), tlv(238, fields("H", 0))),
            tlv(239, fields("B", 0)),
            tlv(217, fields("I", 1)),
            tlv(220, fields("BI", bool(now.keepalive_ms), now.keepalive_ms)),
            *(tlv(225, fields("HBB", port, 1 << 7, is_high)) for port, is_high in now.inputs.items()),
            tlv(226, fields("B", 0)),
        )
    )
