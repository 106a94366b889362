"""What a client asks of the simulated reader: bytes of ADD_ROSPEC and SET_READER_CONFIG, read by hand."""

from drivers.wire.llrp import parameters
from hardware_sims.devices.llrp_frames import (
    C1G2,
    Content,
    RoSpec,
    Settings,
    Start,
    Status,
    only,
    take,
)


class RefusedError(Exception):
    """A well-formed request that this reader does not do; ``status`` is the LLRPStatus code of the answer."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def read_id(body: bytes) -> int:
    """The ROSpecID of DELETE_, START_, STOP_, ENABLE_ and DISABLE_ROSPEC. Raises FrameError."""
    (rospec_id,), _ = take("I", body)
    return rospec_id


def read_settings(body: bytes) -> Settings:
    """Raises FrameError."""
    (flags,), rest = take("B", body)
    keepalive_ms: int | None = None
    events: dict[int, bool] = {}
    for kind, value in parameters(rest):
        if kind == 220:  # noqa: PLR2004 - KeepaliveSpec
            (is_periodic, every_ms), _ = take("BI", value)
            keepalive_ms = every_ms if is_periodic else 0
        elif kind == 244:  # noqa: PLR2004 - ReaderEventNotificationSpec
            for state in parameters(value):
                (event, is_on), _ = take("HB", state.value)
                events[event] = bool(is_on & 0x80)
    return Settings(keepalive_ms=keepalive_ms, events=events, does_reset=bool(flags & 0x80))


def read_rospec(body: bytes) -> RoSpec:
    """Raises FrameError, or RefusedError for triggers and parts that this reader does not have."""
    (rospec_id, _, state), rest = take("IBB", only(body, 177))
    if rospec_id == 0 or state != 0:
        raise RefusedError(Status.FIELD_ERROR, f"ROSpec {rospec_id} in state {state}: expected an ID, and disabled")
    boundary = only(rest, 178)
    (start,), _ = take("B", only(boundary, 179))
    (stop, duration_ms), _ = take("BI", only(boundary, 182))
    if start > Start.IMMEDIATE or stop > 1:
        raise RefusedError(Status.UNSUPPORTED_PARAMETER, "only null, immediate and duration triggers")
    (count,), listed = take("H", only(rest, 183))
    antennas, listed = take(f"{count}H", listed)
    (inventory_stop, inventory_ms), _ = take("BI", only(listed, 184))
    if inventory_stop > 1:
        raise RefusedError(Status.UNSUPPORTED_PARAMETER, "an AISpec ends by duration or with its ROSpec only")
    powers, modes = _read_inventory(only(listed, 186))
    (trigger, every), wanted = take("BH", only(rest, 237))
    (content,), _ = take("H", only(wanted, 238))
    return RoSpec(
        rospec_id=rospec_id,
        start=Start(start),
        duration_ms=duration_ms if stop else 0,
        antennas=antennas,
        inventory_ms=inventory_ms if inventory_stop else 0,
        power_index=powers,
        mode_index=modes,
        report_trigger=trigger,
        report_every=every,
        content=Content(content),
    )


def _read_inventory(value: bytes) -> tuple[dict[int, int], dict[int, int]]:
    """Power and mode index by antenna, from an InventoryParameterSpec."""
    (_, protocol), rest = take("HB", value)
    if protocol != C1G2:
        raise RefusedError(Status.FIELD_ERROR, f"air protocol {protocol}, expected 1 (Class 1 Gen 2)")
    powers: dict[int, int] = {}
    modes: dict[int, int] = {}
    for configuration in parameters(rest):
        (antenna,), parts = take("H", configuration.value)
        for kind, part in parameters(parts):
            if kind == 224:  # noqa: PLR2004 - RFTransmitter
                (_, _, powers[antenna]), _ = take("HHH", part)
            elif kind == 330:  # noqa: PLR2004 - C1G2InventoryCommand
                _, controls = take("B", part)
                for control in parameters(controls):
                    if control.kind == 335:  # noqa: PLR2004 - C1G2RFControl
                        (modes[antenna], _), _ = take("HH", control.value)
    return powers, modes
