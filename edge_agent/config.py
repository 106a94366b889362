"""The configuration file. Its mistakes are named all at once: where, what was found, what was expected, what to do.

Its sections are the structs below. Devices are built, not started: so a driver's options are checked with the rest.
"""

import base64
import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from drivers import registry
from drivers.abilities import Device, LockBoard, Packager, Scanner, TagReader
from drivers.errors import DriverConfigError
from edge_agent.errors import ConfigError, ConfigUnreadableError, Mistake
from edge_agent.settings import read_section, said, unknown
from sync_protocol.degraded import DEFAULT_POLICY, Class, Limits, Policy
from sync_protocol.topics import MAX_DEVICE

Name = Annotated[str, msgspec.Meta(pattern=rf"\A[a-z0-9-]{{1,{MAX_DEVICE}}}\Z", description="1 to 64 of a-z, 0-9, -")]
Place = Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="a text of 1 to 64 characters")]
Key = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]{43}=\Z")]
Token = Annotated[str, msgspec.Meta(min_length=16, max_length=256)]
Hours = Annotated[float, msgspec.Meta(ge=0, le=8_760, description="0 to 8760 hours", examples=[24])]
Workplace = Literal["station", "cabinet", "packager"]


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    device: Annotated[Name, msgspec.Meta(examples=["station-1"])]
    location: Annotated[Place, msgspec.Meta(examples=["pharmacy"])]
    workplace: Annotated[Workplace, msgspec.Meta(examples=["station"], description="station, cabinet or packager")]
    data: Annotated[
        str,
        msgspec.Meta(pattern=r"\A/", description="the absolute path of a folder", examples=["/var/lib/codepool-edge"]),
    ]
    zone: Annotated[str, msgspec.Meta(examples=["Asia/Shanghai"])] = "Asia/Shanghai"
    reserve_mb: Annotated[int, msgspec.Meta(ge=0, le=4096, description="0 to 4096", examples=[64])] = 64
    """Disk space kept aside for what has physically happened when the disk is full."""
    keep_days: Annotated[int, msgspec.Meta(ge=1, le=3650, description="1 to 3650", examples=[90])] = 90
    """How long facts stay in the journal that central has in a verified backup."""
    lease_items: Annotated[int, msgspec.Meta(ge=0, le=4000, description="0 to 4000", examples=[200])] = 200
    """How many items of each product this workplace likes to be able to issue without asking central."""


class CentralConfig(msgspec.Struct, frozen=True, kw_only=True):
    mqtt: Annotated[
        str, msgspec.Meta(description="mqtt://host or mqtt://host:port", examples=["mqtt://127.0.0.1:1883"])
    ]

    keys: Annotated[
        list[Key],
        msgspec.Meta(
            description="a list of public keys of central, 44 characters each", examples=[["(codepool-central key)"]]
        ),
    ] = msgspec.field(default_factory=list)
    """REQ-09: what ``codepool-central key`` shows. Empty: the key of the first welcome is believed from then on."""
    url: Annotated[
        str, msgspec.Meta(description="http://host:port or https://host", examples=["http://127.0.0.1:8080"])
    ] = ""
    """REQ-06: central's site, from where a whole replica is fetched; empty: it is copied by deltas alone."""

    recall_keys: Annotated[
        list[Key],
        msgspec.Meta(
            description="a list of public recall keys, 44 characters each", examples=[["(codepool-central recall-key)"]]
        ),
    ] = msgspec.field(default_factory=list)
    """REQ-07: what ``codepool-central recall-key`` shows. Recalls that none of them signed are not applied."""

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        return tuple(base64.b64decode(key) for key in self.keys)

    @property
    def recall_public_keys(self) -> tuple[bytes, ...]:
        return tuple(base64.b64decode(key) for key in self.recall_keys)

    @property
    def broker(self) -> tuple[str, int]:
        parts = urlsplit(self.mqtt)
        return parts.hostname or "", parts.port or 1883


class ScreenConfig(msgspec.Struct, frozen=True, kw_only=True):
    port: Annotated[
        int,
        msgspec.Meta(ge=0, le=65535, description="a whole number from 0 (any free port) to 65535", examples=[8101]),
    ]
    host: Annotated[Place, msgspec.Meta(examples=["127.0.0.1"])] = "127.0.0.1"
    language: Annotated[Literal["zh-CN", "en"], msgspec.Meta(description="zh-CN or en", examples=["zh-CN"])] = "zh-CN"


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """X09: hours since the copy of the ledger was known to be up to date; what is left out never comes."""

    mark_after_h: Hours = math.inf
    witness_after_h: Hours = math.inf
    block_after_h: Hours = math.inf

    @property
    def limits(self) -> Limits:
        return Limits(
            mark_s=_seconds(self.mark_after_h),
            witness_s=_seconds(self.witness_after_h),
            block_s=_seconds(self.block_after_h),
        )


def _seconds(hours: float) -> float | None:
    return None if math.isinf(hours) else hours * 3_600


class DeviceHead(msgspec.Struct, frozen=True, kw_only=True):
    """What each of [[devices]] has; the rest of the table are its driver's options."""

    name: Annotated[Name, msgspec.Meta(examples=["scanner-1"])]
    driver: Annotated[Place, msgspec.Meta(description="the name of a driver", examples=["scanner-serial"])]


class StationConfig(msgspec.Struct, frozen=True, kw_only=True):
    scanner: Annotated[Name, msgspec.Meta(examples=["scanner-1"])]
    machines: Annotated[
        dict[Name, Token],
        msgspec.Meta(
            description="names, each with a token of 16 characters or more",
            examples=[{"adc-1": "(a long random text)"}],
        ),
    ] = msgspec.field(default_factory=dict)
    """A12: automated dispensing cabinets at this place, whose programs say at ``POST /vends`` what they have vended."""


class CabinetConfig(msgspec.Struct, frozen=True, kw_only=True):
    reader: Annotated[Name, msgspec.Meta(examples=["reader-1"])]
    lockboard: Annotated[Name, msgspec.Meta(examples=["lock-1"])]
    lock: Annotated[int, msgspec.Meta(ge=1, le=255, description="1 to 255", examples=[1])] = 1
    quiet_rounds: Annotated[int, msgspec.Meta(ge=1, le=100, description="1 to 100", examples=[2])] = 2
    max_rounds: Annotated[int, msgspec.Meta(ge=1, le=1000, description="1 to 1000", examples=[12])] = 12
    round_s: Annotated[float, msgspec.Meta(ge=0.05, le=30, description="0.05 to 30 seconds", examples=[0.3])] = 0.3


class PackagerConfig(msgspec.Struct, frozen=True, kw_only=True):
    packager: Annotated[Name, msgspec.Meta(examples=["packager-1"])]


WorkplaceConfig = StationConfig | CabinetConfig | PackagerConfig
_WORKPLACES: Mapping[str, type[StationConfig] | type[CabinetConfig] | type[PackagerConfig]] = {
    "station": StationConfig,
    "cabinet": CabinetConfig,
    "packager": PackagerConfig,
}
_ROLES: Mapping[str, tuple[type, str]] = {
    "scanner": (Scanner, "a scanner"),
    "reader": (TagReader, "a tag reader"),
    "lockboard": (LockBoard, "a lock board"),
    "packager": (Packager, "a packager"),
}
_SECTIONS = ("agent", "central", "screen", "devices", "degraded", *_WORKPLACES)
_Create = Callable[..., Device]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration without mistakes: ``devices`` are built, not running, and can do what the workplace asks."""

    agent: AgentConfig
    central: CentralConfig
    screen: ScreenConfig
    workplace: WorkplaceConfig
    devices: Mapping[str, Device]
    zone: ZoneInfo
    policy: Policy


def load(path: Path, *, create: _Create = registry.create) -> Config:
    """Raises ConfigUnreadableError, or ConfigError with every mistake of the file."""
    tables = _read_tables(path)
    mistakes = [unknown(key, key, _SECTIONS) for key in tables if key not in _SECTIONS]
    agent = read_section("agent", tables.get("agent"), AgentConfig, mistakes)
    central = read_section("central", tables.get("central"), CentralConfig, mistakes)
    screen = read_section("screen", tables.get("screen"), ScreenConfig, mistakes)
    devices = _devices(tables.get("devices", []), create, mistakes)
    workplace = _workplace(tables, agent, devices, mistakes) if agent else None
    zone = _zone(agent.zone, mistakes) if agent else None
    policy = _policy(tables.get("degraded", {}), mistakes)
    if central:
        _check_broker(central.mqtt, mistakes)
        _check_site(central.url, mistakes)
    if mistakes:
        raise ConfigError(str(path), tuple(mistakes))
    assert agent, "a section without mistakes is there"
    assert central, "a section without mistakes is there"
    assert screen, "a section without mistakes is there"
    assert workplace, "a section without mistakes is there"
    assert zone, "a zone without mistakes is there"
    built = {name: device for name, device in devices.items() if device is not None}
    return Config(
        agent=agent, central=central, screen=screen, workplace=workplace, devices=built, zone=zone, policy=policy
    )


def _policy(tables: object, mistakes: list[Mistake]) -> Policy:
    """A class that the file has a table of follows it alone, the others the default."""
    if not isinstance(tables, Mapping):
        advice = "write [degraded.drug] and below it mark_after_h = 1"
        mistakes.append(Mistake(field="degraded", found=said(tables), expected="tables", advice=advice))
        return DEFAULT_POLICY
    names = [str(each) for each in Class]
    mistakes += [unknown(f"degraded.{key}", key, names) for key in tables if key not in names]
    written = [name for name in names if name in tables]
    read = {name: read_section(f"degraded.{name}", tables[name], LimitsConfig, mistakes) for name in written}
    return msgspec.structs.replace(DEFAULT_POLICY, **{name: limits.limits for name, limits in read.items() if limits})


def _read_tables(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigUnreadableError(
            f"{path}: {error.strerror}; expected a TOML file that this user may read. Check --config and its owner."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mistake = Mistake(field="file", found=str(error), expected="TOML in UTF-8", advice="correct that line")
        raise ConfigError(str(path), (mistake,)) from error


def _devices(tables: object, create: _Create, mistakes: list[Mistake]) -> dict[str, Device | None]:
    """Every device that the file names, by name; None where it cannot be built."""
    if not isinstance(tables, list):
        advice = "write [[devices]] above each device"
        mistakes.append(Mistake(field="devices", found=said(tables), expected="tables", advice=advice))
        return {}
    devices: dict[str, Device | None] = {}
    urls: dict[object, str] = {}
    for number, table in enumerate(tables, start=1):
        place = f"devices[{number}]"
        head = {key: table[key] for key in ("name", "driver") if key in table} if isinstance(table, dict) else table
        device = read_section(place, head, DeviceHead, mistakes)
        if device is None:
            continue
        options = {key: value for key, value in table.items() if key not in head}
        if device.name in devices:
            advice = "give each device a name of its own"
            mistakes.append(
                Mistake(field=f"{place}.name", found=f"{device.name!r} twice", expected="one", advice=advice)
            )
        url = options.get("url")
        if isinstance(url, str) and urls.setdefault(url, device.name) != device.name:
            advice = f"{urls[url]!r} has it already: two drivers would each get half of what it says"
            mistakes.append(Mistake(field=f"{place}.url", found=said(url), expected="a line of its own", advice=advice))
        devices[device.name] = _built(place, device, options, create, mistakes)
    return devices


def _built(
    place: str, head: DeviceHead, options: dict[str, object], create: _Create, mistakes: list[Mistake]
) -> Device | None:
    try:
        return create(head.driver, name=head.name, options=options)
    except DriverConfigError as error:
        mistakes.append(Mistake(field=place, advice=str(error)))
        return None


def _workplace(
    tables: Mapping[str, object], agent: AgentConfig, devices: Mapping[str, Device | None], mistakes: list[Mistake]
) -> WorkplaceConfig | None:
    for name in _WORKPLACES:
        if name in tables and name != agent.workplace:
            advice = f"remove it, or set [agent] workplace = {name!r}"
            mistakes.append(
                Mistake(field=name, found="a section", expected=f"[{agent.workplace}] alone", advice=advice)
            )
    section = read_section(agent.workplace, tables.get(agent.workplace), _WORKPLACES[agent.workplace], mistakes)
    if section is None:
        return None
    for field, (role, expected) in _ROLES.items():
        named: str | None = getattr(section, field, None)
        if named is None:
            continue
        place = f"{agent.workplace}.{field}"
        if named not in devices:
            known = " or ".join(map(repr, devices)) or "a device"
            mistakes.append(Mistake(field=place, found=repr(named), expected=known, advice="name one of [[devices]]"))
        elif devices[named] is not None and not isinstance(devices[named], role):
            advice = "name a device whose driver can do this"
            mistakes.append(Mistake(field=place, found=repr(named), expected=expected, advice=advice))
    return section


def _zone(name: str, mistakes: list[Mistake]) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        advice = "write a name of the tz database; install tzdata if it has none"
        mistakes.append(Mistake(field="agent.zone", found=repr(name), expected="Asia/Shanghai", advice=advice))
        return None


def _check_site(url: str, mistakes: list[Mistake]) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and not parts.query
    except ValueError:
        is_good = False
    if url and not is_good:
        expected = "http://host:port or https://host"
        advice = 'write for example url = "http://127.0.0.1:8080", or leave it out'
        mistakes.append(Mistake(field="central.url", found=repr(url), expected=expected, advice=advice))


def _check_broker(url: str, mistakes: list[Mistake]) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme == "mqtt" and bool(parts.hostname) and parts.port != 0 and not parts.username
        is_good = is_good and parts.path in {"", "/"} and not parts.query
    except ValueError:  # a port that is no number up to 65535, a broken IPv6 address
        is_good = False
    if not is_good:
        expected = "mqtt://host or mqtt://host:port"
        advice = 'write for example mqtt = "mqtt://127.0.0.1:1883"'
        mistakes.append(Mistake(field="central.mqtt", found=repr(url), expected=expected, advice=advice))
