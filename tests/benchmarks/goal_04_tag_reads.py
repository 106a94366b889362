"""Goal 4: bytes of an RFID reader to checked reads on one core, against sllurp's decoder alone on the same bytes.

The worst case counts: each read is of another tag, so that each becomes a code and is looked up. What a cabinet sees,
several reads of each tag by several antennas, is the second line.
"""

import time
from collections.abc import Iterable
from contextlib import closing

from sllurp.llrp import LLRPMessage

from drivers.readings import TagRound
from drivers.wire import llrp_messages as wire
from drivers.wire.llrp import Framer
from edge_agent.intake import Reading
from edge_agent.workflows.contents import sort
from hardware_sims.devices.llrp_frames import Content, Seen, report, tag_report
from tests.benchmarks import pool
from tests.benchmarks.measuring import Bench, Figures, Result, Rounds, at_least
from tests.benchmarks.workplace import Workplace

GOAL = 4
READS = 12_000
ENTRIES = 32
"""Reads in one report, as readers send them."""
ANTENNAS = 4
CHUNK = 16_384
_CONTENT = Content.ROSPEC_ID | Content.ANTENNA | Content.RSSI | Content.FIRST_SEEN | Content.LAST_SEEN
_POOL = 100_000


async def measure(bench: Bench) -> list[Result]:
    reads = bench.count(READS, least=2 * ENTRIES)
    size = bench.count(_POOL, least=reads)
    here = Workplace(bench.place("goal-04"), await pool.replica(bench, size))
    results = []
    with closing(here):
        for tags, words in ((reads, "each of another tag"), (reads // ANTENNAS, f"{ANTENNAS} of each tag")):
            frames = list(_reports(pool.sample(tags, size, seed=4) * (reads // tags)))
            measured = await _measure(bench, here, frames)
            results.append(
                measured.result(
                    goal=GOAL,
                    name=f"checked tag reads, {words}, a second",
                    floor=at_least(50_000, "value"),
                    aim=at_least(1),
                    note="raw: sllurp's decoder alone",
                )
            )
    return results


async def _measure(bench: Bench, here: Workplace, frames: list[bytes]) -> Rounds:
    reads = len(frames) * ENTRIES
    stream = b"".join(frames)

    async def raw(_: int) -> Figures:
        began_s = time.perf_counter()
        for frame in frames:
            LLRPMessage(msgbytes=frame)
        return [reads / (time.perf_counter() - began_s)]

    async def own(_: int) -> Figures:
        began_s = time.perf_counter()
        reading = Reading()
        seen = list(_sightings(stream))
        reading.add(TagRound(source="reader-1", tags=wire.tags(seen), duration_s=1.0))
        contents = sort(reading.heard, stock=here.stock, location="ward-00", expected={})
        rate = len(seen) / (time.perf_counter() - began_s)
        assert len(seen) == reads
        assert len(contents.present) + len(contents.strays) == len(reading.heard)
        return [rate]

    return await bench.alternate(raw=raw, own=own, is_on_disk=False)


def _sightings(stream: bytes) -> Iterable[wire.Sighting]:
    """As the driver takes in a round."""
    framer = Framer()
    seen: dict[tuple[object, ...], wire.Sighting] = {}
    for first in range(0, len(stream), CHUNK):
        for frame in framer.feed(stream[first : first + CHUNK]):
            for one in wire.sightings(wire.decode(frame)):
                seen[one.key] = one
    return seen.values()


def _reports(numbers: list[int]) -> Iterable[bytes]:
    for first in range(0, len(numbers) // ENTRIES * ENTRIES, ENTRIES):
        entries = [
            tag_report(
                Seen(
                    epc=pool.code(number),
                    antenna=1 + place % ANTENNAS,
                    rssi_dbm=-40 - place % 30,
                    first_seen_us=1_772_424_000_000_000 + place,
                    last_seen_us=1_772_424_000_100_000 + place,
                ),
                _CONTENT | Content.SEEN_COUNT,
                1,
            )
            for place, number in enumerate(numbers[first : first + ENTRIES], start=first)
        ]
        yield report(first, entries)
