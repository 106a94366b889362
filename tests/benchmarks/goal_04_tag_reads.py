"""Goal 4: bytes of an RFID reader to checked reads on one core, against sllurp's decoder alone on the same bytes.

Cabinets of two thousand pieces, one after the other: each read becomes a code, held against what should lie there.
The worst case counts, where each read is of another tag; the second line is what several antennas make of it.
"""

import time
from collections.abc import Iterable
from contextlib import closing

from sllurp.llrp import LLRPMessage

from drivers.readings import TagRound
from drivers.wire import llrp_messages as wire
from drivers.wire.llrp import Framer
from edge_agent.intake import Reading
from edge_agent.workflows.contents import expected_here, sort
from hardware_sims.devices.llrp_frames import Content, Seen, report, tag_report
from tests.benchmarks import pool
from tests.benchmarks.measuring import Bench, Figures, Result, Rounds, at_least
from tests.benchmarks.workplace import Workplace

GOAL = 4
ENTRIES = 32
"""Reads in one report, as readers send them."""
TAGS = 62 * ENTRIES
"""In one cabinet."""
CABINETS = 6
ANTENNAS = 4
CHUNK = 16_384
_CONTENT = Content.ROSPEC_ID | Content.ANTENNA | Content.RSSI | Content.FIRST_SEEN | Content.LAST_SEEN


async def measure(bench: Bench) -> list[Result]:
    cabinets = bench.count(CABINETS)
    here = Workplace(bench.place("goal-04"), await pool.replica(bench, CABINETS * pool.NOTE))
    results = []
    with closing(here):
        for each, words in ((1, "each of another tag"), (ANTENNAS, f"{ANTENNAS} of each tag")):
            rounds = await _measure(bench, here, [list(_reports(cabinet, each)) for cabinet in range(cabinets)])
            results.append(
                rounds.result(
                    goal=GOAL,
                    name=f"checked tag reads, {words}, a second",
                    floor=at_least(50_000, "value"),
                    aim=at_least(1),
                    note="raw: sllurp's decoder alone",
                )
            )
    return results


async def _measure(bench: Bench, here: Workplace, cabinets: list[list[bytes]]) -> Rounds:
    reads = sum(len(frames) for frames in cabinets) * ENTRIES

    async def raw(_: int) -> Figures:
        began_s = time.perf_counter()
        for frames in cabinets:
            for frame in frames:
                LLRPMessage(msgbytes=frame)
        return [reads / (time.perf_counter() - began_s)]

    async def own(_: int) -> Figures:
        streams = [b"".join(frames) for frames in cabinets]
        began_s = time.perf_counter()
        counted = sum(_check(here, stream, pool.ward(cabinet * pool.NOTE)) for cabinet, stream in enumerate(streams))
        rate = reads / (time.perf_counter() - began_s)
        assert counted == reads, f"{counted} reads came out of {reads}"
        return [rate]

    return await bench.alternate(raw=raw, own=own, is_on_disk=False)


def _check(here: Workplace, stream: bytes, location: str) -> int:
    """As a cabinet takes in a round; how many reads it was made of."""
    seen = list(_sightings(stream))
    reading = Reading()
    reading.add(TagRound(source="reader-1", tags=wire.tags(seen), duration_s=1.0))
    expected = expected_here(here.stock, location)
    contents = sort(reading.heard, stock=here.stock, location=location, expected=expected)
    assert len(contents.present) == len(reading.heard), "every tag heard here lies here"
    return len(seen)


def _sightings(stream: bytes) -> Iterable[wire.Sighting]:
    """As the driver takes in a round."""
    framer = Framer()
    seen: dict[tuple[object, ...], wire.Sighting] = {}
    for first in range(0, len(stream), CHUNK):
        for frame in framer.feed(stream[first : first + CHUNK]):
            for one in wire.sightings(wire.decode(frame)):
                seen[one.key] = one
    return seen.values()


def _reports(cabinet: int, each: int) -> Iterable[bytes]:
    """Every tag of a cabinet ``each`` times, in any order."""
    tags = [cabinet * pool.NOTE + one for one in pool.sample(TAGS, pool.NOTE, seed=cabinet)]
    reads = [(tag, antenna) for antenna in range(each) for tag in tags]
    for first in range(0, len(reads), ENTRIES):
        entries = [
            tag_report(
                Seen(
                    epc=pool.code(tag),
                    antenna=1 + antenna,
                    rssi_dbm=-40 - place % 30,
                    first_seen_us=1_772_424_000_000_000 + place,
                    last_seen_us=1_772_424_000_100_000 + place,
                    count=3,
                ),
                _CONTENT | Content.SEEN_COUNT,
                1,
            )
            for place, (tag, antenna) in enumerate(reads[first : first + ENTRIES], start=first)
        ]
        yield report(first, entries)
