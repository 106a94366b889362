"""One demo from the first process to the last: devices plugged in, programs started, a morning played, papers saved."""

import asyncio
import datetime as dt
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from hardware_sims.books.report import DIARY, SALES, TRUTH, Diary
from hardware_sims.broker import Brand
from hardware_sims.catalogue import CATALOGUE, Role
from hardware_sims.equipment import Equipment, plugged_in
from hardware_sims.fleet import Fleet
from hardware_sims.platforms.hospital import HospitalSystem
from hardware_sims.platforms.insurer import Insurer, seeded_troubles
from hardware_sims.platforms.serving import served
from hardware_sims.scenarios.cabinet_page import CabinetPage
from hardware_sims.scenarios.cabinet_work import CabinetWork
from hardware_sims.scenarios.errors import PlayError, first_of
from hardware_sims.scenarios.morning import Morning, Stage
from hardware_sims.scenarios.plan import STAFF, draw
from hardware_sims.scenarios.rest_of_day import go_on
from hardware_sims.scenarios.station_page import ScannerSeat
from hardware_sims.scenarios.station_work import StationWork
from hardware_sims.scenarios.watch import Watch
from hardware_sims.settings import AGENTS, CABINET, HOSPITAL_TOKEN, INSTITUTION, PACKAGER, STATION
from hardware_sims.truth import PhysicsError

HOSPITAL_ZONE = dt.timezone(dt.timedelta(hours=8))
Say = Callable[[str], None]
_DISTURBED = (PlayError, PhysicsError)


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    brand: Brand
    directory: Path
    language: str
    is_once: bool


async def play(demo: Demo, say: Say) -> None:
    """Play the morning; without ``is_once`` go on until cancelled. The papers for the books are saved at the end."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    playing = asyncio.current_task()
    assert playing is not None, "a coroutine runs in a task"
    loop.add_signal_handler(signal.SIGTERM, playing.cancel)
    diary = Diary(seed=demo.seed, broker=demo.brand.value, agents=list(AGENTS))
    say(f"seed {demo.seed}, broker {demo.brand.value}, files in {demo.directory}")
    async with _stage(demo, diary) as stage:
        say(f"{loop.time() - began_s:5.1f} s  broker, central and {len(AGENTS)} agents answer")
        if not demo.is_once:
            say(doors(stage.fleet))
        morning = Morning(stage, diary, say, began_s=began_s)
        await (morning.play() if demo.is_once else _play_on(morning, stage, say))
    diary.orders_repeated = stage.hospital.repeated
    diary.duration_s = loop.time() - began_s
    _save(stage, diary, demo.directory)


async def _play_on(morning: Morning, stage: Stage, say: Say) -> None:
    """For people who look on and may touch: what they change can stop the script, and never the programs."""
    try:
        await morning.play()
    except* _DISTURBED as disturbed:
        say(f"the morning's script was disturbed: {first_of(disturbed, _DISTURBED)}")
    say("the morning is over: sign in where you like; new orders come and are handed out by PDA until Ctrl-C")
    await go_on(stage, say)


@asynccontextmanager
async def _stage(demo: Demo, diary: Diary) -> AsyncIterator[Stage]:
    plan = draw(demo.seed, today=dt.datetime.now(HOSPITAL_ZONE).date())
    contents = {good.insurance_code: good.units for good in CATALOGUE if good.role is not Role.CABINET}
    insurer = Insurer(institution=INSTITUTION, contents=contents, troubles=seeded_troubles(demo.seed))
    equipment = Equipment(demo.seed)
    wires_at = demo.directory / "wires"
    wires_at.mkdir(parents=True)
    async with (
        aiohttp.ClientSession() as http,
        served(insurer.application()) as insurer_url,
        plugged_in(equipment, wires_at, seed=demo.seed) as wires,
        Fleet(
            demo.directory, brand=demo.brand, wires=wires, insurer=insurer_url, language=demo.language, http=http
        ) as fleet,
        ScannerSeat(fleet.agent_url(STATION), equipment.scanner) as station_page,
        CabinetPage(fleet.agent_url(CABINET)) as cabinet_page,
    ):
        hospital = HospitalSystem(fleet.central_url, token=HOSPITAL_TOKEN, seed=demo.seed, http=http)
        yield Stage(
            plan=plan,
            fleet=fleet,
            equipment=equipment,
            hospital=hospital,
            insurer=insurer,
            watch=Watch(fleet, hospital, http),
            station_page=station_page,
            station=StationWork(station_page, plan.truth, diary.scans_refused),
            cabinet=CabinetWork(cabinet_page, equipment, plan.truth),
        )


def doors(fleet: Fleet) -> str:
    """Where the pages are, and who can sign in."""
    pages = [
        ("console", "central", fleet.central_url),
        ("station", STATION, fleet.agent_url(STATION)),
        ("cabinet", CABINET, fleet.agent_url(CABINET)),
        ("packager", PACKAGER, fleet.agent_url(PACKAGER)),
    ]
    lines = ["", "  page      program      address"]
    lines += [f"  {page:<9} {program:<12} {url}/" for page, program, url in pages]
    lines += ["", "  sign in   PIN    badge        who"]
    lines += [f"  {one.id:<9} {one.pin:<6} {one.badge:<12} {one.name}  {one.role}" for one in STAFF]
    lines += [
        "",
        "  Look on while the morning plays (a minute); the station's own seat is the script's until then.",
        "",
    ]
    return "\n".join(lines)


def _save(stage: Stage, diary: Diary, directory: Path) -> None:
    stage.plan.truth.save(directory / TRUTH)
    sales = list(stage.insurer.counter.accepted.values())
    (directory / SALES).write_bytes(msgspec.json.format(msgspec.json.encode(sales)))
    (directory / DIARY).write_bytes(msgspec.json.format(msgspec.json.encode(diary)))
