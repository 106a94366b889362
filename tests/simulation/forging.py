"""What a broker may make up of a message that it carries: it knows every format, and no key."""

from random import Random

import msgspec

from sync_protocol import envelope, topics
from sync_protocol.codec import decode_down, decode_up
from sync_protocol.envelope import Voice
from sync_protocol.messages import Ack, Batch, Delta, Down, Hello, Rows, Up, Welcome
from sync_protocol.recalls import RecallSet, SignedRecalls, encode_recalls
from tests.simulation.signing import SUITE, SimSecret

_AHEAD = 50
_FORGER = SimSecret("whoever holds the broker")


def forged(data: bytes, *, is_up: bool, device: str, random: Random) -> bytes:
    """A lie that would be worth telling, under the old signature or under the forger's own."""
    opened = envelope.read(data)
    topic = topics.up(device) if is_up else topics.down(device) if device else topics.BROADCAST
    message = _lie(decode_up(opened.message) if is_up else decode_down(opened.message))
    made = Voice(opened.stream, _FORGER.sign, suite=SUITE).say(message, topic)
    if random.random() < 0.5:
        return made
    header = len(data) - len(opened.message)
    return data[:header] + made[header:]


def _lie(message: Up | Down) -> Up | Down:
    replace = msgspec.structs.replace
    match message:
        case Batch():
            return replace(message, bodies=(*message.bodies[:-1], message.bodies[-1][:-1]))
        case Ack():
            return replace(message, through=message.through + _AHEAD, safe=message.through + _AHEAD)
        case Welcome():
            ahead = tuple(replace(position, through=position.through + 1) for position in message.positions)
            return replace(message, positions=ahead, incarnation=message.incarnation + 1)
        case Delta():
            return replace(message, to=message.to + 1, latest=message.latest + 1, rows=Rows())
        case Hello():
            return replace(message, replica_version=message.replica_version + _AHEAD, pending=())
        case SignedRecalls():
            body = encode_recalls(RecallSet(version=message.version + _AHEAD, recalls=()))
            return replace(message, version=message.version + _AHEAD, body=body)
        case _:
            return message
