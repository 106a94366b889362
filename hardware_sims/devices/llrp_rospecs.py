"""The ROSpecs that the simulated reader holds, and the settings beside them. What a reboot wipes."""

from collections.abc import Container

from hardware_sims.devices.llrp_capabilities import MODE_INDEXES, Make
from hardware_sims.devices.llrp_frames import RoSpec, Status
from hardware_sims.devices.llrp_requests import RefusedError, read_id, read_rospec, read_settings

MOST_ROSPECS = 1


class Memory:
    """Every method takes the body of a request; all raise FrameError or RefusedError."""

    def __init__(self, make: Make) -> None:
        self.keepalive_ms = 0
        self.events: dict[int, bool] = {}
        self.inputs = dict.fromkeys(range(1, make.inputs + 1), False)
        self._make = make
        self._specs: dict[int, RoSpec] = {}
        self._enabled: set[int] = set()

    def configure(self, body: bytes) -> None:
        settings = read_settings(body)
        if settings.does_reset:
            self.keepalive_ms, self.events = 0, {}
        self.events |= settings.events
        if settings.keepalive_ms is not None:
            self.keepalive_ms = settings.keepalive_ms

    def add(self, body: bytes) -> None:
        spec = read_rospec(body)
        antennas = set(spec.antennas) | set(spec.power_index)
        powers = len(self._make.powers_dbm)
        if len(self._specs) == MOST_ROSPECS:
            raise RefusedError(Status.OUT_OF_RANGE, f"already holds ROSpec {min(self._specs)}, at most 1 fits")
        if not antennas <= set(range(self._make.antennas + 1)):
            raise RefusedError(Status.FIELD_ERROR, f"AntennaID {max(antennas)}, expected 0 to {self._make.antennas}")
        if not set(spec.power_index.values()) <= set(range(1, powers + 1)):
            raise RefusedError(Status.FIELD_ERROR, f"TransmitPower: expected an index from 1 to {powers}")
        if not set(spec.mode_index.values()) <= MODE_INDEXES:
            raise RefusedError(Status.FIELD_ERROR, f"ModeIndex: expected one of {sorted(MODE_INDEXES)}")
        self._specs[spec.rospec_id] = spec

    def delete(self, body: bytes) -> None:
        gone = list(self._specs) if read_id(body) == 0 else [self.known(body).rospec_id]
        for rospec_id in gone:
            self._enabled.discard(rospec_id)
            del self._specs[rospec_id]

    def enable(self, body: bytes) -> RoSpec:
        spec = self.known(body)
        self._enabled.add(spec.rospec_id)
        return spec

    def disable(self, body: bytes) -> RoSpec:
        spec = self.known(body)
        self._enabled.discard(spec.rospec_id)
        return spec

    def enabled(self, body: bytes) -> RoSpec:
        spec = self.known(body)
        if spec.rospec_id not in self._enabled:
            raise RefusedError(Status.INVALID, f"ROSpec {spec.rospec_id} is not enabled")
        return spec

    def known(self, body: bytes) -> RoSpec:
        rospec_id = read_id(body)
        if rospec_id not in self._specs:
            raise RefusedError(Status.INVALID, f"there is no ROSpec {rospec_id}")
        return self._specs[rospec_id]

    def powers(self, spec: RoSpec, *, off: Container[int]) -> dict[int, float]:
        """The power of each antenna that takes part, in dBm; full power unless told."""
        chosen = range(1, self._make.antennas + 1) if 0 in spec.antennas else spec.antennas
        full = len(self._make.powers_dbm)
        indexes = {antenna: spec.power_index.get(antenna, spec.power_index.get(0, full)) for antenna in chosen}
        return {one: self._make.powers_dbm[index - 1] for one, index in indexes.items() if one not in off}
