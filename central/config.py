"""The configuration of central: one TOML file. Every mistake in it is named, all at once, before anything starts."""

import pathlib
import re
import tomllib
import types
import typing
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from central.auth import TOKEN_MIN, Client, Scope
from central.config_msfx import MsfxConfig, MsfxSection, msfx_config, msfx_mistakes
from central.config_words import like, url_mistakes
from central.connectors.envelope import Institution
from central.connectors.insurer import QUERY
from central.errors import ConfigError, ConfigUnreadableError
from central.indicators.scans import Shifts
from central.stock.device_keys import Enrolment
from central.sync.comparing import COMPARE_S
from central.sync.link import Broker
from central.sync.snapshots import Policy

LANGUAGES = ("zh-CN", "en")
SHIFTS = ("00:00", "08:00", "16:00")
"""When the shifts of a day begin."""
_PORTS = range(65_536)
_DAY_S = 86_400
_LEASE_S, _MARGIN_S = 28_800.0, 60.0
DRIFT = 400e-6
"""How fast two clocks part at most, each 200 ppm wrong."""
_MOST_ROWS = 100_000_000
_INSTITUTION = re.compile(r"[A-Z][0-9A-Z]{11}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_REGION = re.compile(r"[0-9]{6}")


class CentralSection(msgspec.Struct, frozen=True, kw_only=True):
    data: str
    port: int
    host: str = "127.0.0.1"
    language: str = "zh-CN"
    zone: str = "Asia/Shanghai"
    refill_s: float = 600.0
    snapshot_rows: int = Policy().rows
    snapshot_age_s: float = Policy().age_s
    compare_s: float = COMPARE_S
    lease_s: float = _LEASE_S
    lease_margin_s: float = _MARGIN_S
    shifts: list[str] = msgspec.field(default_factory=lambda: list(SHIFTS))


class MqttSection(msgspec.Struct, frozen=True, kw_only=True):
    url: str


class SyncSection(msgspec.Struct, frozen=True, kw_only=True):
    enrolment: str = Enrolment.LISTED


class InsurerSection(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    institution: str
    admdvs: str
    institution_name: str = ""
    receiver: str = "FSI_LOCAL"
    operator: str = "codepool"
    query: str = QUERY
    timeout_s: float = 10.0
    fee_type: str = "0"
    settlement_type: str = "2"
    certificate_type: str = "99"
    paasid: str = ""
    token: str = ""


class ClientSection(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    token: str
    scopes: list[str]


class InsurerConfig(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    institution: Institution
    query: str
    timeout_s: float


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that holds. ``insurer``, ``msfx`` None: nothing is reported or asked, rows wait.

    ``refill_s``: how long a restored ledger waits at most for its agents to give back what it lacks. ``lease_s``: how
    long an agent that is cut off may issue what it holds; ``lease_margin_s``: how far two clocks may be apart then.
    ``compare_s``: how often replicas are compared with the ledger; 0: never. ``enrolment``: how the key of a device
    gets in (REQ-09). ``shifts``: of the day, for figures by shift.
    """

    data: pathlib.Path
    host: str
    port: int
    language: str
    zone: zoneinfo.ZoneInfo
    broker: Broker
    insurer: InsurerConfig | None
    clients: tuple[Client, ...]
    refill_s: float = 600.0
    lease_s: float = _LEASE_S
    lease_margin_s: float = _MARGIN_S
    enrolment: Enrolment = Enrolment.LISTED
    snapshots: Policy = Policy()
    compare_s: float = COMPARE_S
    msfx: MsfxConfig | None = None
    shifts: Shifts = Shifts()


_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "central": CentralSection,
    "mqtt": MqttSection,
    "sync": SyncSection,
    "insurer": InsurerSection,
    "msfx": MsfxSection,
    "clients": ClientSection,
}
_NEEDED = ("central", "mqtt")
_WORDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number", list: "a list of texts"}


def load(path: pathlib.Path) -> Config:
    """Raises ConfigUnreadableError or ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else f"not UTF-8: {error.reason}"
        raise ConfigUnreadableError(
            f"configuration {path}: {cause}\nExpected a readable TOML file. Name it with --config FILE."
        ) from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"configuration {path}: not TOML: {error}\nCorrect the line and start again.") from error
    return parse(raw, where=path)


def parse(raw: Mapping[str, Any], *, where: pathlib.Path) -> Config:
    """Raises ConfigError with every mistake. A relative data folder is taken from the folder of the file."""
    mistakes = [mistake for name in _SECTIONS for mistake in _mistakes(raw, name)]
    mistakes += [
        f"[{name}]: unknown section, expected one of {', '.join(_SECTIONS)}{like(name, _SECTIONS)}"
        for name in raw
        if name not in _SECTIONS
    ]
    if mistakes:
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        raise ConfigError(f"configuration {where}: {len(mistakes)} to correct\n{lines}")
    central = msgspec.convert(raw["central"], CentralSection)
    return Config(
        data=(where.parent / central.data).resolve(),
        host=central.host,
        port=central.port,
        language=central.language,
        zone=zoneinfo.ZoneInfo(central.zone),
        broker=_broker(raw["mqtt"]["url"]),
        insurer=_insurer(msgspec.convert(raw["insurer"], InsurerSection)) if "insurer" in raw else None,
        clients=tuple(
            Client(name=client["name"], token=client["token"], scopes=frozenset(client["scopes"]))
            for client in raw.get("clients", ())
        ),
        refill_s=central.refill_s,
        lease_s=central.lease_s,
        lease_margin_s=central.lease_margin_s,
        enrolment=Enrolment(raw.get("sync", {}).get("enrolment", Enrolment.LISTED)),
        snapshots=Policy(rows=central.snapshot_rows, age_s=central.snapshot_age_s),
        compare_s=central.compare_s,
        msfx=msfx_config(msgspec.convert(raw["msfx"], MsfxSection)) if "msfx" in raw else None,
        shifts=Shifts(starts=tuple(_minutes(text) for text in central.shifts)),
    )


def _mistakes(raw: Mapping[str, Any], name: str) -> list[str]:
    """Names and types first; values are looked at where these are right."""
    if name not in raw:
        return [f"[{name}]: missing, expected the section"] if name in _NEEDED else []
    section = raw[name]
    if name == "clients":
        return list(_shape_of_list(name, section, ClientSection)) or list(_client_mistakes(section))
    if not isinstance(section, dict):
        return [f"[{name}]: found {_shown(section)}, expected a section"]
    return list(_shape_of_section(f"[{name}]", section, _SECTIONS[name])) or list(_CONTENT[name](section))


def _shape_of_list(name: str, rows: Any, section: type[msgspec.Struct]) -> Iterator[str]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        yield f"[{name}]: found {_shown(rows)}, expected [[{name}]] for each"
        return
    for number, row in enumerate(rows, start=1):
        yield from _shape_of_section(f"[[{name}]] number {number}", row, section)


def _shape_of_section(where: str, values: Mapping[str, Any], section: type[msgspec.Struct]) -> Iterator[str]:
    fields = {field.name: field for field in msgspec.structs.fields(section)}
    for name in values:
        if name not in fields:
            yield f"{where} {name}: unknown, expected one of {', '.join(fields)}{like(name, fields)}"
    for name, field in fields.items():
        kind = typing.get_origin(field.type) or field.type
        if name not in values:
            if field.required:
                yield f"{where} {name}: missing, expected {_WORDS[kind]}"
        elif not _is_a(values[name], field.type):
            yield f"{where} {name}: found {_shown(values[name])}, expected {_WORDS[kind]}"


def _is_a(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _central_mistakes(central: Mapping[str, Any]) -> Iterator[str]:
    if not central["data"]:
        yield "[central] data: found nothing, expected the folder of the ledger"
    if central["port"] not in _PORTS:
        yield f"[central] port: found {central['port']}, expected 0 to {_PORTS[-1]} (0: any free one)"
    if central.get("language", LANGUAGES[0]) not in LANGUAGES:
        yield f"[central] language: found {central['language']!r}, expected {' or '.join(LANGUAGES)}"
    for name in ("refill_s", "snapshot_age_s", "compare_s"):
        if not 0 <= central.get(name, 0.0) <= _DAY_S:
            yield f"[central] {name}: found {central[name]}, expected seconds from 0 to {_DAY_S}"
    if not 0 <= central.get("snapshot_rows", 0) <= _MOST_ROWS:
        yield f"[central] snapshot_rows: found {central['snapshot_rows']}, expected 0 (none) to {_MOST_ROWS}"
    yield from _lease_mistakes(central)
    shifts = central.get("shifts", list(SHIFTS))
    if not shifts or not all(map(_TIME.fullmatch, shifts)) or sorted(set(shifts)) != shifts:
        yield f"[central] shifts: found {shifts}, expected the times that shifts begin at, rising, as 08:00"
    zone = central.get("zone", "Asia/Shanghai")
    if zone not in zoneinfo.available_timezones():
        yield f"[central] zone: found {zone!r}, expected a time zone as Asia/Shanghai"


def _lease_mistakes(central: Mapping[str, Any]) -> Iterator[str]:
    lease_s, margin_s = central.get("lease_s", _LEASE_S), central.get("lease_margin_s", _MARGIN_S)
    if not 1 <= lease_s <= 7 * _DAY_S:
        yield f"[central] lease_s: found {lease_s}, expected seconds from 1 to {7 * _DAY_S}"
    elif not DRIFT * lease_s <= margin_s < lease_s / 2:
        most = f"{DRIFT * lease_s:.3f} to below {lease_s / 2}: what two clocks may be apart after {lease_s} s"
        yield f"[central] lease_margin_s: found {margin_s}, expected seconds from {most}"


def _mqtt_mistakes(mqtt: Mapping[str, Any]) -> Iterator[str]:
    yield from url_mistakes("[mqtt] url", mqtt["url"], ("mqtt",), "mqtt://127.0.0.1:1883")


def _sync_mistakes(sync: Mapping[str, Any]) -> Iterator[str]:
    enrolment = sync.get("enrolment", Enrolment.LISTED)
    if enrolment not in set(Enrolment):
        yield f"[sync] enrolment: found {enrolment!r}, expected {' or '.join(Enrolment)}{like(enrolment, Enrolment)}"


def _insurer_mistakes(insurer: Mapping[str, Any]) -> Iterator[str]:
    yield from url_mistakes("[insurer] url", insurer["url"], ("http", "https"), "https://insurer.example/fsi")
    if not _INSTITUTION.fullmatch(insurer["institution"]):
        yield f"[insurer] institution: found {insurer['institution']!r}, expected 12 characters as H11010000001"
    if not _REGION.fullmatch(insurer["admdvs"]):
        yield f"[insurer] admdvs: found {insurer['admdvs']!r}, expected the 6 digits of the region"
    if insurer.get("timeout_s", 1.0) <= 0:
        yield f"[insurer] timeout_s: found {insurer['timeout_s']}, expected seconds above 0"
    if bool(insurer.get("paasid")) != bool(insurer.get("token")):
        yield "[insurer] paasid, token: found one of them, expected both or none"


def _client_mistakes(clients: list[Mapping[str, Any]]) -> Iterator[str]:
    names = [client["name"] for client in clients]
    tokens = [client["token"] for client in clients]
    for number, client in enumerate(clients, start=1):
        where = f"[[clients]] number {number}"
        if not client["name"] or names.count(client["name"]) > 1:
            yield f"{where} name: found {client['name']!r}, expected a name of its own"
        if len(client["token"]) < TOKEN_MIN:
            yield f"{where} token: found {len(client['token'])} characters, expected at least {TOKEN_MIN}"
        elif tokens.count(client["token"]) > 1:
            yield f"{where} token: found the token of another client, expected one of its own"
        for scope in client["scopes"]:
            if scope not in set(Scope):
                known = ", ".join(sorted(Scope))
                yield f"{where} scopes: found {scope!r}, expected some of {known}{like(scope, list(Scope))}"


_CONTENT: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "central": _central_mistakes,
    "mqtt": _mqtt_mistakes,
    "sync": _sync_mistakes,
    "insurer": _insurer_mistakes,
    "msfx": msfx_mistakes,
}


def _broker(url: str) -> Broker:
    parts = urlsplit(url)
    return Broker(
        host=parts.hostname or "",
        port=parts.port or 1883,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def _insurer(section: InsurerSection) -> InsurerConfig:
    institution = Institution(
        code=section.institution,
        name=section.institution_name,
        region=section.admdvs,
        receiver=section.receiver,
        operator=section.operator,
        fee_type=section.fee_type,
        settlement_type=section.settlement_type,
        certificate_type=section.certificate_type,
        paasid=section.paasid,
        token=section.token,
    )
    return InsurerConfig(url=section.url, institution=institution, query=section.query, timeout_s=section.timeout_s)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _shown(value: Any) -> str:
    """The value as a person wrote it; a secret is never among wrong types for long, but text is cut all the same."""
    text = repr(value) if not isinstance(value, dict | list | types.NoneType) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:40]}..."  # noqa: PLR2004 -- fits one line of a screen
