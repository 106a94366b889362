import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import msgspec
import pytest

from drivers import registry
from drivers.errors import DriverConfigError
from drivers.packager import TcpPackager
from drivers.scanner_serial import SerialScanner

VENDOR_MODULE = """
import msgspec

class Scale:
    class Options(msgspec.Struct):
        url: str
        unit: str = "g"

    def __init__(self, *, name: str, url: str, unit: str) -> None:
        self.name, self.url, self.unit = name, url, unit

not_a_class = 1
"""


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package that adds drivers, good and bad ones."""
    (tmp_path / "vendor_scale.py").write_text(VENDOR_MODULE)
    (tmp_path / "vendor_needs_more.py").write_text("import no_such_library\n")
    (tmp_path / "vendor_needs_rfid.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'sllurp.llrp'\", name='sllurp.llrp')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    added = {
        "scale": "vendor_scale:Scale",
        "scale-wrong": "vendor_scale:Scales",
        "scale-number": "vendor_scale:not_a_class",
        "needs-more": "vendor_needs_more:Driver",
        "needs-rfid": "vendor_needs_rfid:Driver",
        "gone": "vendor_gone:Driver",
        "scanner-serial": "vendor_scale:Scale",
    }
    points = EntryPoints(
        EntryPoint(name=name, value=value, group=registry.ENTRY_POINT_GROUP) for name, value in added.items()
    )
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points.select(group=group))
    yield
    for module in [name for name in sys.modules if name.startswith("vendor_")]:
        del sys.modules[module]


def refusal(driver: str, options: Mapping[str, object]) -> str:
    with pytest.raises(DriverConfigError) as refused:
        registry.create(driver, name="window-1", options=options)
    return str(refused.value)


def test_a_driver_is_made_from_the_words_of_a_configuration() -> None:
    scanner = registry.create(
        "scanner-serial", name="window-1", options={"url": "/dev/ttyACM0", "suffix": "crlf", "stall_s": 2}
    )
    assert isinstance(scanner, SerialScanner)
    assert scanner.name == "window-1"
    assert scanner.health.driver == "scanner-serial"
    assert isinstance(registry.create("packager-tcp", name="p", options={"url": "socket://h:1"}), TcpPackager)


def test_our_own_names_are_known() -> None:
    assert {"lock-board-8a", "packager-tcp", "rfid-llrp", "scanner-serial"} <= set(registry.known_drivers())


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    text = refusal("scaner-serial", {})
    assert "driver 'scaner-serial' is unknown, expected one of lock-board-8a, packager-tcp, rfid-llrp" in text
    assert text.endswith("did you mean 'scanner-serial'?")
    assert "did you mean" not in refusal("xyz", {})


@pytest.mark.parametrize(
    ("driver", "options", "said"),
    [
        ("scanner-serial", {}, "device 'window-1' (scanner-serial): option 'url' is missing"),
        ("scanner-serial", {"url": "/dev/a", "sufix": "cr"}, "option 'sufix' is unknown, expected url, suffix, prefix"),
        ("scanner-serial", {"url": "/dev/a", "sufix": "cr"}, "did you mean 'suffix'?"),
        (
            "scanner-serial",
            {"url": "/dev/a", "suffix": "crr"},
            "option 'suffix' is 'crr': expected one of 'cr', 'lf', 'crlf', 'tab', 'none'",
        ),
        (
            "scanner-serial",
            {"url": "/dev/a", "gs_substitute": "#"},
            "option 'gs_substitute' is '#': expected one of '', '~', '|'",
        ),
        ("scanner-serial", {"url": "/dev/a", "gap_s": "50"}, "option 'gap_s' is '50': Expected `float`, got `str`"),
        ("scanner-serial", {"url": "/dev/a", "prefix": "é"}, "option prefix is 'é', expected ASCII characters"),
        ("scanner-serial", {"url": 7}, "option 'url' is 7: Expected `str`, got `int`"),
        ("scanner-serial", {"url": "/dev/a", "name": "x"}, "option 'name' is unknown"),
        ("scanner-serial", {"url": "ttyACM0"}, "url 'ttyACM0': expected a path like /dev/ttyACM0"),
        ("lock-board-8a", {"url": "/dev/a", "open_bit": 2}, "option 'open_bit' is 2: expected one of 0, 1"),
        ("lock-board-8a", {"url": "/dev/a", "first_board": 250, "locks": 168}, "168 locks need board 256"),
        ("packager-tcp", {"url": "socket://h:1", "tries": 0}, "option 'tries' is 0: Expected `int` >= 1"),
    ],
)
def test_wrong_options_are_named_before_any_port_is_opened(
    driver: str, options: Mapping[str, object], said: str
) -> None:
    assert said in refusal(driver, options)


@pytest.mark.usefixtures("vendor")
def test_another_package_adds_a_driver_with_options_of_its_own() -> None:
    scale = registry.create("scale", name="s", options={"url": "/dev/a"})
    assert msgspec.to_builtins(vars(scale)) == {"name": "s", "url": "/dev/a", "unit": "g"}


@pytest.mark.usefixtures("vendor")
def test_another_package_cannot_replace_one_of_ours() -> None:
    assert registry.known_drivers()["scanner-serial"] == "drivers.scanner_serial:SerialScanner"


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize(
    ("driver", "said"),
    [
        ("needs-rfid", "the library 'sllurp' is missing; pip install 'codepool[rfid]'"),
        (
            "needs-more",
            "the library 'no_such_library' is missing; install the package that provides 'no_such_library'",
        ),
        ("gone", "its module vendor_gone is not installed; install the package that adds it"),
        ("scale-wrong", "module vendor_scale has no class 'Scales'"),
        ("scale-number", "module vendor_scale has no class 'not_a_class'"),
    ],
)
def test_what_is_missing_is_told_apart(driver: str, said: str) -> None:
    assert refusal(driver, {}) == f"driver '{driver}': {said}"
