"""Power comes back: hundreds of agents, each with facts of its own, connect to one central at once (fault 27).

``python tests/scale/reconnect.py --agents 200 --json out.json``

Broker and central are real processes. The agents are the shipped stores, recorder, sync shell and MQTT link, all in
this process; one more agent, in a process of its own, goes on scanning, before and during it. Nothing here passes or
fails by its speed: the exit status is 0 unless a fact is lost or twice, or it does not end.
"""

import argparse
import asyncio
import datetime as dt
import logging
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import aiohttp
import msgspec
import structlog

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from edge_agent.store.folder import REPLICA  # noqa: E402 - this is a script of the tree
from hardware_sims import settings  # noqa: E402
from hardware_sims.broker import Brand, Broker  # noqa: E402
from hardware_sims.catalogue import CATALOGUE, Role, of_role, piece_epc  # noqa: E402
from hardware_sims.platforms.hospital import HospitalSystem  # noqa: E402
from hardware_sims.ports import free_port  # noqa: E402
from hardware_sims.process import ManagedProcess  # noqa: E402
from hardware_sims.program import Program  # noqa: E402
from hardware_sims.scenarios.plan import delivery_note  # noqa: E402
from hardware_sims.truth import Piece  # noqa: E402
from tests.scale.agent import PIECES, Agent, location  # noqa: E402
from tests.scale.listener import acks_s  # noqa: E402

SCANNER, MODEL = "scanner", "model"
_QUIET_S = 6.0
_PATIENCE_S = 300.0
_POLL_S = 0.05


class Scans(msgspec.Struct, frozen=True, kw_only=True):
    """Of the agent that goes on scanning: from the call to its durable commit, milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds are from the moment in which all agents try to connect."""

    agents: int
    facts: int
    lost: int
    twice: int
    connected_s: float
    """The last agent was welcomed."""
    drained_s: float
    """The last agent heard its last ack. All are in one process, which has this machine's cores to share."""
    facts_per_s: float
    ack_p50_s: float
    ack_p99_s: float
    """From a batch to the ack that covers it, as heard at the broker."""
    central_before_mb: float
    central_peak_mb: float
    scans_before: Scans
    scans_during: Scans


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    # A swarm in one process is slow to listen; what it then drops, it pulls.
    logging.getLogger("mqtt").setLevel(logging.ERROR)
    (ROOT / "out").mkdir(exist_ok=True)
    # The disks of the swarm's computers are not this one's: only central's is.
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(prefix="reconnect-", dir=ROOT / "out") as folder,
        tempfile.TemporaryDirectory(prefix="swarm-", dir=memory if memory.is_dir() else None) as swarm,
    ):
        result = asyncio.run(measure(Path(folder), Path(swarm), options.agents, options.facts, _say))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    for name, value in msgspec.to_builtins(result).items():
        sys.stdout.write(f"{name:<20} {value}\n")
    return 1 if result.lost or result.twice else 0


async def measure(folder: Path, disks: Path, agents: int, facts: int, say: Callable[[str], None]) -> Result:
    """``facts`` of each agent, written while it was cut off."""
    broker = Broker(Brand.MOSQUITTO, folder)
    await broker.start()
    async with aiohttp.ClientSession() as http:
        central = _central(folder, broker, http)
        scanner = _script("scanner", folder, "agent.py", str(folder / SCANNER), SCANNER, str(broker.port))
        listener = _script("listener", folder, "listener.py", str(broker.port))
        try:
            await central.start_ready()
            names = [f"cabinet-{number}" for number in range(1, agents + 1)]
            say(f"{agents} cabinets get their pieces")
            await _supply(
                HospitalSystem(central.url, token=settings.HOSPITAL_TOKEN, seed=1, http=http), [*names, SCANNER, MODEL]
            )
            model = await _model(folder / "model", broker.port)
            swarm = [Agent(disks / name, name, broker.port, model=model) for name in names]
            say(f"cut off, each writes {facts} facts")
            for agent in swarm:
                await agent.work(facts)
            await scanner.start()
            await listener.start()
            await _scanning(folder)
            await asyncio.sleep(_QUIET_S)
            say("all connect at once")
            return await _reconnect(swarm, central, scanner, folder)
        finally:
            await listener.stop()
            await scanner.stop()
            await central.stop()
            await broker.stop()


async def _model(folder: Path, port: int) -> Path:
    """A replica that is up to date."""
    agent = Agent(folder, MODEL, port)
    async with asyncio.timeout(_PATIENCE_S):
        await agent.copied()
    agent.close()
    return folder / REPLICA


async def _reconnect(swarm: Sequence[Agent], central: Program, scanner: ManagedProcess, folder: Path) -> Result:
    before_mb, began_us, began_s = _peak_mb(central.pid), time.time_ns() // 1000, time.perf_counter()
    async with asyncio.timeout(_PATIENCE_S):
        await asyncio.gather(*(agent.drained() for agent in swarm))
    ended_us, drained_s = time.time_ns() // 1000, time.perf_counter() - began_s
    peak_mb = _peak_mb(central.pid)
    await scanner.stop()
    facts = {session: seq for agent in swarm for session, seq in agent.written.items()}
    for agent in swarm:
        agent.close()
    arrived, twice = _in_ledger(folder / "central")
    acks = acks_s((folder / "listener.log").read_text(encoding="utf-8")) or [0.0]
    scans = _scans(folder)
    return Result(
        agents=len(swarm),
        facts=sum(facts.values()),
        lost=sum(max(0, seq - arrived.get(session, 0)) for session, seq in facts.items()),
        twice=twice,
        connected_s=round(max(agent.welcome_s for agent in swarm) - began_s, 2),
        drained_s=round(drained_s, 2),
        facts_per_s=round(sum(facts.values()) / drained_s, 1),
        ack_p50_s=_rank(acks, 0.5),
        ack_p99_s=_rank(acks, 0.99),
        central_before_mb=before_mb,
        central_peak_mb=peak_mb,
        scans_before=_spread([ms for at_us, ms in scans if at_us < began_us]),
        scans_during=_spread([ms for at_us, ms in scans if began_us <= at_us < ended_us]),
    )


async def _supply(hospital: HospitalSystem, names: Sequence[str]) -> None:
    """One note of pieces for each agent."""
    await hospital.send_people([{"id": "N1", "name": "李敏", "badge": "1", "pin": "2468", "is_active": True}])
    await hospital.send_products([good.entry() for good in CATALOGUE])
    today = dt.datetime.now(dt.UTC).date()
    good = of_role(Role.CABINET)[0]
    for number, name in enumerate(names):
        pieces = [
            Piece(
                code=piece_epc(number * PIECES + each),
                product=good.id,
                lot="L1",
                expiry=today + dt.timedelta(days=700),
                made=today - dt.timedelta(days=30),
                location=location(name),
            )
            for each in range(PIECES)
        ]
        await hospital.announce(delivery_note(f"SN-{name}", "supplier", location(name), "piece", pieces))


def _central(folder: Path, broker: Broker, http: aiohttp.ClientSession) -> Program:
    port, config = free_port(), folder / "central.toml"
    (folder / "central").mkdir()
    text = settings.central_settings(data=folder / "central", port=port, mqtt=broker.url, insurer="", language="zh-CN")
    config.write_text(text, encoding="utf-8")
    url = f"http://127.0.0.1:{port}"
    return Program("central", "codepool-central", settings=config, log=folder / "central.log", url=url, http=http)


def _script(name: str, folder: Path, script: str, *arguments: str) -> ManagedProcess:
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    return ManagedProcess(name, command, folder / f"{name}.log")


async def _scanning(folder: Path) -> None:
    """Return once the other process scans."""
    async with asyncio.timeout(_PATIENCE_S):
        while not _scans(folder):  # noqa: ASYNC110 - another process: there is nothing to wait for but time
            await asyncio.sleep(_POLL_S)


def _scans(folder: Path) -> list[tuple[int, float]]:
    """When each scan was made, and how long its commit took."""
    try:
        lines = (folder / "scanner.log").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    pairs = [line.split() for line in lines if line.startswith("scan ")]
    return [(int(at_us), float(ms)) for _, at_us, ms in pairs]


def _in_ledger(folder: Path) -> tuple[dict[bytes, int], int]:
    """How many facts of each session there are, and how many stand twice."""
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        rows = connection.execute("SELECT session, count(*), count(DISTINCT seq) FROM fact GROUP BY session").fetchall()
    return {session: different for session, _, different in rows}, sum(
        count - different for _, count, different in rows
    )


def _peak_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in text.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024, 1)


def _rank(ranked: Sequence[float], share: float) -> float:
    return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 3)


def _spread(figures: list[float]) -> Scans:
    ranked = sorted(figures) or [0.0]
    return Scans(count=len(figures), p50_ms=_rank(ranked, 0.5), p99_ms=_rank(ranked, 0.99))


def _say(text: str) -> None:
    sys.stderr.write(f"{text} …\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tests/scale/reconnect.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=200, metavar="N", help="how many connect at once (%(default)s)")
    parser.add_argument("--facts", type=int, default=100, metavar="N", help="that each has waiting (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
