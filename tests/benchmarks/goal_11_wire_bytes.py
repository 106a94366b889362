"""Goal 11: bytes of a fact on the wire, for the facts of a pharmacy with its codes, orders, people and times."""

import os
from random import Random

import msgspec
import zstandard

from sync_protocol.chain import SessionStart
from sync_protocol.codec import encode_fact
from sync_protocol.envelope import Voice
from sync_protocol.facts import Fact, How, Moment, What
from sync_protocol.messages import Batch
from sync_protocol.topics import up
from tests.benchmarks.measuring import Bench, Result, at_most, line
from tests.benchmarks.office import BATCH, secret_of

GOAL = 11
_DELIVERY = 2_000
"""Boxes of one delivery, numbered on."""
_FRAME = 9
"""MQTT's own bytes of a message: header with a length of three bytes, length of the topic, packet number."""


async def measure(_: Bench) -> list[Result]:
    facts = _morning(BATCH)
    bodies = [encode_fact(fact) for fact in facts]
    batch = _wire_bytes(bodies)
    lone = _wire_bytes(bodies[:1])
    plain = msgspec.msgpack.encode([msgspec.structs.astuple(fact) for fact in facts])
    raw = len(zstandard.ZstdCompressor(level=3).compress(plain)) / len(facts)
    return [
        line(
            goal=GOAL,
            name=f"bytes a fact on the wire, batch of {len(facts)}",
            value=batch / len(facts),
            raw=raw,
            floor=at_most(26, "value"),
            aim=at_most(20, "value"),
            note=f"raw: zstd of the facts alone; a lone fact {lone} B, a fact in the journal"
            f" {sum(map(len, bodies)) / len(bodies):.0f} B",
        )
    ]


def _wire_bytes(bodies: list[bytes]) -> int:
    device = "station-1"
    start = SessionStart(
        device=device,
        session=os.urandom(16),
        parent_session=os.urandom(16),
        parent_seq=4_711,
        parent_hash=os.urandom(32),
        started_us=1_772_424_000_000_000,
    )
    batch = Batch(start=start, first_seq=1, previous_hash=start.hash, bodies=tuple(bodies))
    topic = up(device)
    return len(Voice(start.session, secret_of(device).sign).say(batch, topic)) + len(topic) + _FRAME


def _morning(count: int) -> list[Fact]:
    """Boxes opened and handed out in turn.

    A trace code is a drug of 7 digits, a serial of 9 that lies near those of its delivery, and 4 that only its issuer
    can tell from random ones (domain/trace-codes.md); orders come about in the order of their numbers.
    """
    chance = Random(11)
    deliveries = [(f"81{chance.randrange(60):05d}", chance.randrange(10**9 - _DELIVERY)) for _ in range(120)]
    wall_us, mono_us = 1_772_424_000_000_000, 0
    facts = []
    for number in range(count):
        pause_us = chance.randrange(2_000_000, 40_000_000)
        wall_us, mono_us = wall_us + pause_us + chance.randrange(-50, 50), mono_us + pause_us
        drug, first = chance.choice(deliveries)
        serial = first + chance.randrange(_DELIVERY)
        is_opening = bool(number % 2)
        facts.append(
            Fact(
                what=What.PRESCANNED if is_opening else What.DISPENSED,
                codes=(f"{drug}{serial:09d}{chance.randrange(10_000):04d}",),
                at=Moment(wall_us=wall_us, mono_us=mono_us, offset_us=-1_834),
                operator=f"pharmacist-{chance.randrange(6)}",
                location="pharmacy",
                how=How.SCAN,
                source="scanner-1",
                order="" if is_opening else f"YZ20260302{number + chance.randrange(40):05d}",
                product=f"D{drug}",
                units=10 if is_opening else 0,
                checked_at=90_000 + number * 3,
            )
        )
    return facts
