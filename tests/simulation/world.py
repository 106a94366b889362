"""The physical world: where every box and every unit really is. Nothing of the code under test is used or believed."""

from collections.abc import Callable, Iterable

import msgspec

from sync_protocol.facts import Fact, What

PATIENT, TRASH, OPENED = "patient", "trash", "opened"


def dock(location: str) -> str:
    return f"dock:{location}"


def shelf(location: str) -> str:
    return f"at:{location}"


def hands(location: str) -> str:
    return f"hands:{location}"


def transit(location: str) -> str:
    return f"transit:{location}"


def patient(_location: str) -> str:
    return PATIENT


def trash(_location: str) -> str:
    return TRASH


def carton(_location: str) -> str:
    return OPENED


_Place = Callable[[str], str]
# By fact: from where a thing can be moved at the location of the act, and to where, by the location in the fact.
_STEPS: dict[What, tuple[tuple[_Place, ...], _Place]] = {
    What.RECEIVED: ((dock,), shelf),
    What.DISPENSED: ((shelf, hands), patient),
    What.RETURNED: ((patient,), shelf),
    What.TAKEN: ((shelf,), hands),
    What.PUT_BACK: ((hands,), shelf),
    What.TRANSFERRED_OUT: ((shelf,), transit),
    What.TRANSFERRED_IN: ((transit,), shelf),
    What.WRITTEN_OFF: ((shelf, hands, carton), trash),
}


class Thing(msgspec.Struct):
    """A box or a unit of one."""

    code: str
    place: str
    units: int = 0
    """How many units a box holds."""


class Order(msgspec.Struct):
    id: str
    location: str
    codes: tuple[str, ...]


class World:
    """``doubtful``: codes about which a fact says what cannot have happened: a scan of what was not there."""

    def __init__(self) -> None:
        self.things: dict[str, Thing] = {}
        self.places: dict[str, dict[str, None]] = {}
        self.notes: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.lots: dict[str, str] = {}
        """Of boxes."""
        self.orders: dict[str, Order] = {}
        self.acts: list[Fact] = []
        self.doubtful: set[str] = set()

    def announce(self, note: str, location: str, codes: Iterable[str], units: int) -> None:
        """Boxes stand at the dock of a location."""
        self.notes[note] = (location, tuple(codes))
        for code in codes:
            self.things[code] = Thing(code=code, place="", units=units)
            self._put(code, dock(location))

    def at(self, place: str) -> list[str]:
        return list(self.places.get(place, ()))

    def happened(self, fact: Fact, location: str) -> None:
        """A person at ``location`` did what the fact says, as far as it can be done."""
        self.acts.append(fact)
        for code in fact.codes:
            if not self._happened(fact, code, location):
                self.doubtful.add(code)

    def _happened(self, fact: Fact, code: str, location: str) -> bool:
        thing = self.things.get(code)
        if thing is None:
            return False
        if fact.what is What.PRESCANNED:
            return self._open(thing, location)
        step = _STEPS.get(fact.what)
        if step is None:
            return True
        sources, target = step
        return self._move(thing, {source(location) for source in sources}, target(fact.location or location))

    def _open(self, box: Thing, location: str) -> bool:
        if not self._move(box, {shelf(location)}, OPENED):
            return False
        for n in range(1, box.units + 1):
            unit = Thing(code=f"{box.code}#{n:03d}", place="")
            self.things[unit.code] = unit
            self._put(unit.code, shelf(location))
        return True

    def _move(self, thing: Thing, sources: set[str], place: str) -> bool:
        if thing.place not in sources:
            return False
        self._put(thing.code, place)
        return True

    def _put(self, code: str, place: str) -> None:
        thing = self.things[code]
        self.places.get(thing.place, {}).pop(code, None)
        thing.place = place
        self.places.setdefault(place, {})[code] = None
