"""What a reader's antennas hear of the tags around a row of cabinets, with the truth kept beside it.

A passive tag is heard if the reader's field wakes it and its echo is loud enough. Both are plain link budgets in dB::

    at the tag    = power + antenna gain + tag gain - path - wall - turn - fade        woken above -18 dBm
    at the reader = at the tag - path - wall - turn + antenna gain + tag gain - 12     heard above -84 dBm
    path          = 31.7 + 20 log10(distance in m)                                     free space at 922 MHz

``wall`` is the loss through the steel of the cabinets between tag and antenna; ``turn`` is how badly the tag is turned
towards the antenna, fixed while the tag lies where it lies; ``fade`` is drawn anew for each round, since people and
doors move. Above its waking threshold a tag is missed with a small chance (collisions), more so close to it.

With the defaults one antenna misses a tag of its shelf in about one round of twenty, the four of a cabinet together
almost never from 16 dBm on; a tag just outside cannot wake below 22 dBm and is heard in most rounds at 30 dBm; one in
the next cabinet is not heard at all.

Every draw depends only on (seed, tag, antenna, round): placing one tag changes nothing for the others.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

ANTENNA_GAIN_DBI = 0.0
TAG_GAIN_DBI = 2.0
LOSS_AT_1_M_DB = 31.7
BACKSCATTER_LOSS_DB = 12.0
TAG_WAKES_DBM = -18.0
READER_HEARS_DBM = -84.0
WALL_DB = 11.0
WORST_TURN_DB = 5.0
WORST_FADE_DB = 2.0
CABINET_WIDTH_M = 1.0
SHELF_HEIGHT_M = 0.4
NEAREST_INSIDE_M, FARTHEST_INSIDE_M = 0.2, 0.6
NEAREST_OUTSIDE_M, FARTHEST_OUTSIDE_M = 1.1, 1.4
# One pass of a Gen2 inventory over a shelf of some dozens of tags.
PASS_S = 0.05
MISSED_BY_COLLISION = 0.05
WEAK_MARGIN_DB = 3.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tag lies: in cabinet ``cabinet`` (numbered along the wall) or right in front of it."""

    cabinet: int
    is_inside: bool = True
    shelf: int | None = None


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One tag as one antenna heard it in one round; times from the start of the round."""

    epc: str
    antenna: int
    rssi_dbm: int
    hits: int
    first_s: float
    last_s: float


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """One round of the reader of ``cabinet``: the power of each antenna that takes part, one antenna a shelf."""

    cabinet: int
    round_no: int
    duration_s: float
    power_dbm: Mapping[int, float]
    shelves: int


class RadioField:
    """All tags of a ward. Several readers may share it, each at its own cabinet."""

    def __init__(self, *, seed: int, wall_db: float = WALL_DB) -> None:
        self._seed = seed
        self._wall_db = wall_db
        self._places: dict[str, Place] = {}
        self._moves: dict[str, int] = {}

    def place(self, epc: str, place: Place) -> None:
        """Put a tag somewhere, or move it. Raises ValueError if ``epc`` is not hex of whole 16-bit words."""
        if not epc or len(epc) % 4 or bytes.fromhex(epc).hex().upper() != epc:
            raise ValueError(f"epc is {epc!r}, expected upper-case hex of whole 16-bit words")
        self._places[epc] = place
        self._moves[epc] = self._moves.get(epc, 0) + 1

    def remove(self, epc: str) -> None:
        """Take a tag out of everybody's reach. Raises KeyError if it is nowhere."""
        del self._places[epc]

    def inside(self, cabinet: int) -> frozenset[str]:
        """The truth: what lies in a cabinet."""
        return frozenset(epc for epc, at in self._places.items() if at.is_inside and at.cabinet == cabinet)

    def listen(self, inventory: Inventory) -> list[Heard]:
        """What the antennas of one reader hear in one round, in the order of first hearing."""
        heard = [
            found
            for epc, place in self._places.items()
            for antenna in inventory.power_dbm
            if (found := self._hear(epc, place, inventory, antenna))
        ]
        return sorted(heard, key=lambda one: (one.first_s, one.epc, one.antenna))

    def _hear(self, epc: str, place: Place, inventory: Inventory, antenna: int) -> Heard | None:
        now = Random(f"{self._seed} {epc} {inventory.cabinet} {antenna} {inventory.round_no}")
        way_db = self._way_db(epc, place, inventory, antenna)
        fade_db = now.uniform(-WORST_FADE_DB, WORST_FADE_DB)
        at_tag_dbm = inventory.power_dbm[antenna] + ANTENNA_GAIN_DBI + TAG_GAIN_DBI - way_db - fade_db
        rssi_dbm = at_tag_dbm - way_db + ANTENNA_GAIN_DBI + TAG_GAIN_DBI - BACKSCATTER_LOSS_DB
        margin_db = at_tag_dbm - TAG_WAKES_DBM
        if margin_db < 0 or rssi_dbm < READER_HEARS_DBM or now.random() < missed_chance(margin_db):
            return None
        passes = max(1, round(inventory.duration_s / PASS_S))
        answered = [one for one in range(passes) if now.random() >= missed_chance(margin_db)] or [0]
        step_s = inventory.duration_s / passes
        return Heard(
            epc=epc,
            antenna=antenna,
            rssi_dbm=round(rssi_dbm),
            hits=len(answered),
            first_s=(answered[0] + now.random()) * step_s,
            last_s=(answered[-1] + 1) * step_s,
        )

    def _way_db(self, epc: str, place: Place, inventory: Inventory, antenna: int) -> float:
        """What is lost one way between a tag and an antenna (one antenna a shelf)."""
        # The same tag put back lies differently: its moves are part of the draw.
        lying = Random(f"{self._seed} {epc} {self._moves[epc]}")
        shelf = place.shelf or lying.randint(1, inventory.shelves)
        apart_m = abs(place.cabinet - inventory.cabinet) * CABINET_WIDTH_M
        if place.is_inside:
            depth_m = lying.uniform(NEAREST_INSIDE_M, FARTHEST_INSIDE_M)
            walls = 0 if place.cabinet == inventory.cabinet else 2
        else:
            depth_m = lying.uniform(NEAREST_OUTSIDE_M, FARTHEST_OUTSIDE_M)
            walls = 1
        distance_m = math.hypot(depth_m, apart_m, abs(shelf - antenna) * SHELF_HEIGHT_M)
        turn_db = Random(f"{self._seed} {epc} {self._moves[epc]} {antenna}").uniform(0, WORST_TURN_DB)
        return LOSS_AT_1_M_DB + 20 * math.log10(distance_m) + walls * self._wall_db + turn_db


def missed_chance(margin_db: float) -> float:
    """How likely a woken tag is still missed in one pass, or one round, at ``margin_db`` above its threshold."""
    weak = max(0.0, 1 - margin_db / WEAK_MARGIN_DB)
    return MISSED_BY_COLLISION + (0.6 - MISSED_BY_COLLISION) * weak


def heard_tags(heard: Iterable[Heard]) -> frozenset[str]:
    return frozenset(one.epc for one in heard)
