"""The import arrow of ARCHITECTURE.md, read from the source: a line across it fails here and says which."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("sync_protocol", "drivers", "hardware_sims", "edge_agent", "central")

# What each package may import of ours, besides itself.
MAY_IMPORT = {
    "sync_protocol": set(),
    "drivers": set(),
    "hardware_sims": {"drivers.wire"},
    "edge_agent": {"drivers", "sync_protocol"},
    "central": {"sync_protocol"},
}

# Inside a program: nothing lower imports anything higher.
FLOORS = {
    "edge_agent": (("cli",), ("app",), ("screens", "workflows", "sync"), ("store",), ("errors",)),
    "central": (("cli",), ("app",), ("api", "fhir", "console", "sync", "connectors"), ("ledger",), ("errors",)),
}

# The pure packages decide; clocks, chance and sockets belong to their shells.
IMPURE = {"asyncio", "random", "secrets", "socket", "time", "uuid", "threading", "sqlite3", "os"}

MODEL_LENGTH = 350


def sources(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("package", OURS)
def test_a_package_imports_only_what_the_arrow_allows(package: str) -> None:
    allowed = {package, *MAY_IMPORT[package]}
    wrong = [
        f"{where(path, line)} imports {name}"
        for path in sources(package)
        for line, name in imports(path)
        if name.split(".")[0] in OURS and not any(name == a or name.startswith(f"{a}.") for a in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("package", FLOORS)
def test_a_lower_floor_never_imports_a_higher_one(package: str) -> None:
    floors = FLOORS[package]
    level = {room: number for number, rooms in enumerate(floors) for room in rooms}
    wrong = []
    for path in sources(package):
        room = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        for line, name in imports(path):
            parts = name.split(".")
            if parts[0] != package or len(parts) == 1:
                continue
            target = parts[1]
            if room in level and target in level and level[target] < level[room]:
                wrong.append(f"{where(path, line)} ({room}) imports {name}")
    assert wrong == []


def test_only_intake_knows_both_a_reading_and_a_fact() -> None:
    both = []
    for path in sources("edge_agent"):
        names = {name for _, name in imports(path)}
        reads = any(name.startswith("drivers.readings.") and name.endswith((".Scan", ".TagRead")) for name in names)
        if reads and "sync_protocol.facts.Fact" in names:
            both.append(str(path.relative_to(ROOT)))
    assert both in ([], ["edge_agent/intake.py"])


def test_the_shared_language_has_no_clock_no_chance_and_no_io() -> None:
    wrong = [
        f"{where(path, line)} imports {name}"
        for path in [*sources("sync_protocol"), *sources("drivers/wire")]
        for line, name in imports(path)
        if name.split(".")[0] in IMPURE
    ]
    assert wrong == []


def test_the_systemd_folder_is_no_package() -> None:
    assert not (ROOT / "systemd" / "__init__.py").exists()


def test_both_sides_carry_the_same_vendored_scripts() -> None:
    edge = ROOT / "edge_agent" / "screens" / "static" / "vendor"
    central = ROOT / "central" / "console" / "static" / "vendor"
    shared = {path.name for path in edge.iterdir()} & {path.name for path in central.iterdir()}
    assert {"htmx.min.js", "htmx-ext-sse.min.js"} <= shared
    for name in shared:
        assert (edge / name).read_bytes() == (central / name).read_bytes(), name


@pytest.mark.parametrize("name", ["templates/sheet.html", "static/sheet.css", "static/sheet.js"])
def test_both_sides_print_the_same_sheet(name: str) -> None:
    edge, central = ROOT / "edge_agent" / "screens" / name, ROOT / "central" / "console" / name
    assert edge.read_bytes() == central.read_bytes()


def test_no_module_grows_past_one_idea() -> None:
    long = {
        str(path.relative_to(ROOT)): length
        for package in OURS
        for path in sources(package)
        if (length := len(path.read_text(encoding="utf-8").splitlines())) > MODEL_LENGTH
    }
    assert long == {}
