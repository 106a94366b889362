"""Which driver a configuration names.

Modules are imported when named, so that a small edge PC needs no library it does not use. Other packages add drivers
by the entry point group ``codepool.drivers``: a name and ``module:Class``. The keywords of the class's constructor,
``name`` apart, are the driver's options; their annotations, ``msgspec.Meta`` bounds included, are what is checked.
"""

import difflib
import enum
import importlib
import inspect
import typing
from collections.abc import Mapping
from importlib.metadata import entry_points

import msgspec

from drivers.abilities import Device
from drivers.errors import DriverConfigError

ENTRY_POINT_GROUP = "codepool.drivers"
_OWN = {
    "lock-board-8a": "drivers.lock_board:LockBoard8A",
    "packager-tcp": "drivers.packager:TcpPackager",
    "rfid-llrp": "drivers.rfid_llrp:LlrpReader",
    "scanner-serial": "drivers.scanner_serial:SerialScanner",
}
_EXTRA_OF_LIBRARY = {"serial": "edge", "serial_asyncio_fast": "edge", "sllurp": "rfid"}


def known_drivers() -> Mapping[str, str]:
    """Every driver name with its ``module:Class``. Ours cannot be replaced by an entry point."""
    added = {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    return dict(sorted({**added, **_OWN}.items()))


def create(driver_name: str, *, name: str, options: Mapping[str, object]) -> Device:
    """A driver, not yet running. Raises DriverConfigError before any port is opened."""
    driver = _load(driver_name)
    checked = _check(options, _options_of(driver), place=f"device {name!r} ({driver_name})")
    try:
        device: Device = driver(name=name, **checked)
    except DriverConfigError as error:
        raise DriverConfigError(f"device {name!r} ({driver_name}): {error}") from error
    return device


def _load(driver_name: str) -> typing.Any:
    # Only a driver of another package is worth looking through all packages that are installed.
    known = _OWN if driver_name in _OWN else known_drivers()
    if driver_name not in known:
        nearest = difflib.get_close_matches(driver_name, known, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise DriverConfigError(f"driver {driver_name!r} is unknown, expected one of {', '.join(known)}{hint}")
    module_name, _, class_name = known[driver_name].partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise DriverConfigError(_missing(driver_name, module_name, error.name or "")) from error
    driver = getattr(module, class_name, None)
    if not inspect.isclass(driver):
        raise DriverConfigError(f"driver {driver_name!r}: module {module_name} has no class {class_name!r}")
    return driver


def _missing(driver_name: str, module_name: str, missing: str) -> str:
    if module_name == missing or module_name.startswith(f"{missing}."):
        return f"driver {driver_name!r}: its module {module_name} is not installed; install the package that adds it"
    library = missing.partition(".")[0]
    extra = _EXTRA_OF_LIBRARY.get(library)
    remedy = f"pip install 'codepool[{extra}]'" if extra else f"install the package that provides {library!r}"
    return f"driver {driver_name!r}: the library {library!r} is missing; {remedy}"


def _options_of(driver: typing.Any) -> type[msgspec.Struct]:
    """The driver's ``Options``, or the same made from its constructor's keywords: one list of options, not two."""
    declared = getattr(driver, "Options", None)
    if isinstance(declared, type) and issubclass(declared, msgspec.Struct):
        return declared
    hints = typing.get_type_hints(driver.__init__, include_extras=True)
    keywords = [
        parameter
        for parameter in inspect.signature(driver).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "name"
    ]
    fields: list[tuple[str, typing.Any] | tuple[str, typing.Any, typing.Any]] = [
        (parameter.name, hints[parameter.name])
        if parameter.default is parameter.empty
        else (parameter.name, hints[parameter.name], parameter.default)
        for parameter in keywords
    ]
    return msgspec.defstruct(f"{driver.__name__}Options", fields, kw_only=True, frozen=True)


def _check(options: Mapping[str, object], expected: type[msgspec.Struct], *, place: str) -> dict[str, typing.Any]:
    fields = {field.name: field for field in msgspec.structs.fields(expected)}
    for option in options:
        if option not in fields:
            nearest = difflib.get_close_matches(option, fields, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise DriverConfigError(f"{place}: option {option!r} is unknown, expected {', '.join(fields)}{hint}")
    for field in fields.values():
        if field.required and field.name not in options:
            raise DriverConfigError(f"{place}: option {field.name!r} is missing")
    for option, value in options.items():
        try:
            msgspec.convert(value, fields[option].type)
        except msgspec.ValidationError as error:
            choices = _choices(fields[option].type)
            expected_one = f"expected one of {', '.join(map(repr, choices))}" if choices else error
            raise DriverConfigError(f"{place}: option {option!r} is {value!r}: {expected_one}") from error
    return msgspec.structs.asdict(msgspec.convert(dict(options), expected))


def _choices(kind: typing.Any) -> tuple[object, ...]:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return tuple(member.value for member in kind)
    return typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
