"""The broker and the lines to it. Everything may be lost, doubled, late or cut; nothing is changed on the way.

A line has two directions, each with its own loss, delay, blockade and clog. What the broker queues dies with it.
"""

import zlib
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

import msgspec

from tests.simulation.forging import forged
from tests.simulation.scheduler import SECOND_US, Node, Scheduler, stream
from tests.simulation.telling import spoken_message

QUEUE = 1_000
"""Messages that the broker keeps for one client; it drops what comes on top, and says nothing (measured)."""
KEEPALIVE_US = (5 * SECOND_US, 22 * SECOND_US)
"""How long it takes until somebody notices that a line is dead."""
CENTRAL = "central"


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """How the lines are while faults are on."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_us: int = 5_000
    late: float = 0.0
    """How much of the traffic takes up to 20 s."""
    forged: float = 0.0
    """To how much of the traffic the broker adds a lie of its own."""


FAIR = Weather()


class Client(Node, Protocol):
    """A node that speaks to the broker. ``line``: counts its connections; None while it has none."""

    client_id: str
    line: int | None


class Letter(msgspec.Struct, frozen=True):
    """A message on its way. ``generation``: the broker's life that it is in; a killed broker takes it along."""

    sender: str
    device: str
    """The name in the topic: what the sender says it is."""
    to: str
    lane: str
    data: bytes
    generation: int
    is_doubled: bool = True
    """It may come twice."""
    line: int | None = None


class _Path(msgspec.Struct):
    random: Random
    blocked_us: int = 0
    clogged_us: int = 0
    last_us: dict[str, int] = msgspec.field(default_factory=dict)


class Network:
    """``on_puback``: what a sender does when the broker has its message. Nothing, unless a mutant believes it."""

    name = "broker"

    def __init__(self, scheduler: Scheduler, seed: int) -> None:
        self._scheduler = scheduler
        self._seed = seed
        self._paths: dict[tuple[str, str], _Path] = {}
        self._clients: dict[str, Client] = {}
        self._nodes: dict[str, Client] = {}
        self._centrals: set[str] = set()
        self._lines = 0
        self._retained: Letter | None = None
        """The recall set that a client is given when it comes."""
        self._down_us = 0
        self._generation = 0
        self.weather = FAIR
        self.waiting: dict[str, int] = {}
        self.overflowed = 0
        self.largest = 0
        self.on_puback: Callable[[str, bytes], None] = lambda _sender, _data: None

    def attach(self, node: Client, *, is_central: bool = False) -> None:
        self._nodes[node.name] = node
        if is_central:
            self._centrals.add(node.client_id)

    def connect(self, node: Client) -> bool:
        """A client dials. Whoever had the same name at the broker is thrown out."""
        if not self._is_reachable(node.name):
            return False
        other = self._clients.get(node.client_id)
        if other is not None and other is not node:
            self.cut(other)
        self._lines += 1
        node.line = self._lines
        self._clients[node.client_id] = node
        if self._retained is not None and node.client_id not in self._centrals:
            self._queue(node, self._retained)
        return True

    def cut(self, node: Client) -> None:
        """The connection is gone, and both ends know."""
        if node.line is None:
            return
        if self._clients.get(node.client_id) is node:
            del self._clients[node.client_id]
        node.line = None
        self._scheduler.after(0, node, "cut")

    def left(self, node: Client) -> None:
        """The node's process is gone."""
        if self._clients.get(node.client_id) is node:
            del self._clients[node.client_id]
        node.line = None

    def block(self, name: str, directions: str, until_us: int) -> None:
        """Swallow everything from ("u") or to ("d") a node until then; after a while the dead line is noticed."""
        for direction in directions:
            self._path(name, direction).blocked_us = until_us
        wait_us = self._path(name, "u").random.randint(*KEEPALIVE_US)
        self._scheduler.after(wait_us, self, "keepalive", name)

    def clog(self, name: str, until_us: int) -> None:
        """Hold everything from and to a node until then."""
        for direction in "ud":
            self._path(name, direction).clogged_us = until_us

    def kill(self, until_us: int) -> None:
        """Kill the broker: whatever it had in memory is gone."""
        self._generation += 1
        self._retained = None
        self._down_us = until_us
        self.waiting.clear()
        for node in list(self._clients.values()):
            self.cut(node)

    def heal(self) -> None:
        self.weather = FAIR
        self._down_us = 0
        for path in self._paths.values():
            path.blocked_us = path.clogged_us = 0

    def publish(self, sender: Client, lane: str, to: str, data: bytes) -> None:
        """``lane``: up to every central, down to the agent ``to``, all agents, or recalls, which are kept for these."""
        self.largest = max(self.largest, len(data))
        if sender.line is None:
            return
        self._scheduler.note(f"{sender.name} says {zlib.crc32(data):08x} on {lane}")
        if self._scheduler.is_traced:
            self._scheduler.tell(f"{sender.name} says {spoken_message(data, is_up=lane == 'up')}")
        letter = Letter(sender.name, sender.client_id, to, lane, data, self._generation)
        self._carry(sender.name, "u", letter, self, "route")
        if self.weather.forged:
            self._forge(sender, letter)

    def _forge(self, sender: Client, letter: Letter) -> None:
        random = self._path(sender.name, "u").random
        if random.random() < self.weather.forged:
            is_up = letter.lane == "up"
            lie = forged(letter.data, is_up=is_up, device=letter.device if is_up else letter.to, random=random)
            self._carry(sender.name, "u", msgspec.structs.replace(letter, data=lie, is_doubled=False), self, "route")

    def on(self, kind: str, arg: Any) -> None:
        if kind == "route":
            self._route(arg)
        elif kind == "keepalive":
            node = self._nodes[arg]
            if not self._is_reachable(arg):
                self.cut(node)

    def taken(self, letter: Letter) -> None:
        """The client has read it: the broker's queue is shorter by one."""
        if letter.generation == self._generation:
            self.waiting[letter.to] = self.waiting.get(letter.to, 1) - 1

    def _route(self, letter: Letter) -> None:
        if letter.generation != self._generation:
            return
        self.on_puback(letter.sender, letter.data)
        if letter.lane == "down":
            client = self._clients.get(letter.to)
            if client is not None and letter.to not in self._centrals:
                self._queue(client, letter)
            return
        if letter.lane == "recalls":
            self._retained = letter
        for client_id, client in list(self._clients.items()):
            if (client_id in self._centrals) == (letter.lane == "up"):
                self._queue(client, letter)

    def _queue(self, client: Client, letter: Letter) -> None:
        waiting = self.waiting.get(client.client_id, 0)
        if waiting >= QUEUE:
            self.overflowed += 1
            return
        addressed = msgspec.structs.replace(letter, to=client.client_id, line=client.line)
        if self._carry(client.name, "d", addressed, client, "hear"):
            self.waiting[client.client_id] = waiting + 1

    def _carry(self, name: str, direction: str, letter: Letter, to: Node, kind: str) -> bool:
        """In order within a lane of a path, but for what is doubled. False: lost."""
        path, weather, now_us = self._path(name, direction), self.weather, self._scheduler.now_us
        random = path.random
        if path.blocked_us > now_us or random.random() < weather.loss:
            return False
        delay_us = random.expovariate(1.0) * weather.delay_us
        if weather.late and random.random() < weather.late:
            delay_us += random.random() * 20 * SECOND_US
        when_us = max(now_us + int(delay_us), path.clogged_us, path.last_us.get(letter.lane, 0) + 1)
        path.last_us[letter.lane] = when_us
        self._scheduler.at(when_us, to, kind, letter)
        if letter.is_doubled and weather.duplicate and random.random() < weather.duplicate:
            again = msgspec.structs.replace(letter, line=None) if kind == "hear" else letter
            self._scheduler.at(when_us + int(random.expovariate(1.0) * 10 * SECOND_US), to, kind, again)
        return True

    def _is_reachable(self, name: str) -> bool:
        now_us = self._scheduler.now_us
        paths = (self._path(name, "u"), self._path(name, "d"))
        return self._down_us <= now_us and all(path.blocked_us <= now_us for path in paths)

    def _path(self, name: str, direction: str) -> _Path:
        path = self._paths.get((name, direction))
        if path is None:
            path = self._paths[name, direction] = _Path(stream(self._seed, f"net/{name}/{direction}"))
        return path
