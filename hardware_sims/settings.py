"""The configuration files of the demo's programs, written as a hospital's technician would write them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from hardware_sims.scenarios.plan import CATH_LAB, PHARMACY

INSTITUTION = "H11010100001"
INSTITUTION_NAME = "示范医院"
DISTRICT = "110101"
HOSPITAL_TOKEN = "demo-hospital-7f1f0c2b9d"  # noqa: S105 - of the demo's own processes on this machine only
SCOPES = ("read", "orders", "receiving", "usage", "masterdata")
STATION, CABINET, PACKAGER = "station-1", "cabinet-1", "packager-1"
AGENTS = (STATION, CABINET, PACKAGER)
LOCK = 1
ROUND_S = 0.15


class Wires(msgspec.Struct, frozen=True, kw_only=True):
    """Where the simulated devices are plugged in."""

    scanner: str
    lock_board: str
    reader_port: int
    packager: str


class Doors(msgspec.Struct, frozen=True, kw_only=True):
    """HTTP ports of the programs."""

    central: int
    station: int
    cabinet: int
    packager: int

    def of(self, agent: str) -> int:
        return {STATION: self.station, CABINET: self.cabinet, PACKAGER: self.packager}[agent]


def central_settings(
    *, data: Path, port: int, mqtt: str, insurer: str, language: str, scopes: Sequence[str] = SCOPES
) -> str:
    """``insurer``: the address of its platform; empty: nothing is reported."""
    return f"""\
[central]
data = {_text(data)}
host = "127.0.0.1"
port = {port}
language = {_text(language)}
zone = "Asia/Shanghai"

[mqtt]
url = {_text(mqtt)}

[sync]
# For a demo only: the first key that a device shows is taken. A hospital lists its devices.
enrolment = "open"

{_insurer(insurer)}[[clients]]
name = "hospital"
token = {_text(HOSPITAL_TOKEN)}
scopes = {json.dumps(list(scopes))}
"""


class Workplace(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of workplace an agent serves, and where; ``devices`` are sections of its configuration."""

    kind: str
    location: str
    devices: str


def station(location: str, *, scanner: str, machines: Mapping[str, str] | None = None) -> Workplace:
    """``machines``: tokens, by name, of the programs that say what they have vended there."""
    tokens = ", ".join(f"{name} = {_text(token)}" for name, token in (machines or {}).items())
    devices = _STATION.format(url=_text(scanner)) + (f"machines = {{ {tokens} }}\n" if tokens else "")
    return Workplace(kind="station", location=location, devices=devices)


def cabinet(location: str, *, lock_board: str, reader_port: int) -> Workplace:
    devices = _CABINET.format(port=reader_port, url=_text(lock_board), lock=LOCK, round_s=ROUND_S)
    return Workplace(kind="cabinet", location=location, devices=devices)


def packager(location: str, *, machine: str) -> Workplace:
    return Workplace(kind="packager", location=location, devices=_PACKAGER.format(url=_text(machine)))


def agent_settings(agent: str, *, data: Path, port: int, mqtt: str, language: str, wires: Wires, site: str = "") -> str:
    """Of an agent of the demo. ``site``: central's, where snapshots are; empty: it copies by deltas."""
    return workplace_settings(
        agent, _workplace(agent, wires), data=data, port=port, mqtt=mqtt, language=language, site=site
    )


def workplace_settings(
    agent: str,
    workplace: Workplace,
    *,
    data: Path,
    port: int,
    mqtt: str,
    language: str,
    recall_keys: Sequence[str] = (),
    site: str = "",
    lease_items: int | None = None,
) -> str:
    """``recall_keys``: public keys of the recalls that it believes. ``lease_items`` None: the agent's default."""
    lease = "" if lease_items is None else f"lease_items = {lease_items}\n"
    keys = f"recall_keys = {json.dumps(list(recall_keys))}\n" if recall_keys else ""
    return f"""\
[agent]
device = {_text(agent)}
location = {_text(workplace.location)}
workplace = {_text(workplace.kind)}
data = {_text(data)}
zone = "Asia/Shanghai"
reserve_mb = 1
{lease}
[central]
mqtt = {_text(mqtt)}
url = {_text(site)}
{keys}
[screen]
host = "127.0.0.1"
port = {port}
language = {_text(language)}

{workplace.devices}"""


def _workplace(agent: str, wires: Wires) -> Workplace:
    match agent:
        case "station-1":
            return station(PHARMACY, scanner=wires.scanner)
        case "cabinet-1":
            return cabinet(CATH_LAB, lock_board=wires.lock_board, reader_port=wires.reader_port)
        case "packager-1":
            return packager(PHARMACY, machine=wires.packager)
        case _:
            raise ValueError(f"agent is {agent!r}, expected one of {', '.join(AGENTS)}")


def _insurer(url: str) -> str:
    return (
        ""
        if not url
        else _INSURER.format(
            url=_text(url),
            institution=_text(INSTITUTION),
            name=_text(INSTITUTION_NAME),
            district=_text(DISTRICT),
        )
    )


_INSURER = """\
[insurer]
url = {url}
institution = {institution}
institution_name = {name}
admdvs = {district}

"""
_STATION = """\
[[devices]]
name = "scanner-1"
driver = "scanner-serial"
url = {url}
suffix = "cr"

[station]
scanner = "scanner-1"
"""
_CABINET = """\
[[devices]]
name = "reader-1"
driver = "rfid-llrp"
host = "127.0.0.1"
port = {port}
keepalive_s = 2.0

[[devices]]
name = "lock-1"
driver = "lock-board-8a"
url = {url}

[cabinet]
reader = "reader-1"
lockboard = "lock-1"
lock = {lock}
quiet_rounds = 2
max_rounds = 12
round_s = {round_s}
"""
_PACKAGER = """\
[[devices]]
name = "packager-1"
driver = "packager-tcp"
url = {url}

[packager]
packager = "packager-1"
"""


def _text(value: object) -> str:
    """A TOML basic string: JSON's escapes are among its own."""
    return json.dumps(str(value), ensure_ascii=False)
