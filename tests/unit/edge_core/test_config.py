"""Each mistake of a configuration is named with its place, what was found, what was expected and what to do."""

from pathlib import Path

import pytest

from edge_agent.config import CabinetConfig, StationConfig, load
from edge_agent.errors import ConfigError, ConfigUnreadableError, Exit
from sync_protocol.degraded import DEFAULT_POLICY, Limits

GOOD = """\
[agent]
device = "station-1"
location = "pharmacy"
workplace = "station"
data = "/var/lib/codepool-edge"

[central]
mqtt = "mqtt://10.0.0.5:1884"

[screen]
port = 8101

[[devices]]
name = "scanner-1"
driver = "scanner-serial"
url = "/dev/serial/by-id/one"

[station]
scanner = "scanner-1"
"""
CABINET = """
[[devices]]
name = "lock-1"
driver = "lock-board-8a"
url = "/dev/serial/by-id/two"
[cabinet]
reader = "scanner-1"
lockboard = "lock-1"
max_rounds = 9
"""


def _mistakes(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as wrong:
        load(path)
    assert wrong.value.exit_status is Exit.CONFIG
    return [str(mistake) for mistake in wrong.value.mistakes]


def _only_mistake(tmp_path: Path, text: str) -> str:
    (mistake,) = _mistakes(tmp_path, text)
    return mistake


def test_a_whole_configuration_is_read_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(GOOD, encoding="utf-8")
    config = load(path)
    assert config.central.broker == ("10.0.0.5", 1884)
    assert (config.screen.host, config.screen.port, config.screen.language) == ("127.0.0.1", 8101, "zh-CN")
    assert config.workplace == StationConfig(scanner="scanner-1")
    assert list(config.devices) == ["scanner-1"]
    assert config.zone.key == "Asia/Shanghai"
    assert CabinetConfig(reader="r", lockboard="l").quiet_rounds == 2


def test_a_class_follows_what_is_written_for_it_and_the_others_the_default(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(GOOD + "[degraded.drug]\nwitness_after_h = 2\nblock_after_h = 8.5\n", encoding="utf-8")
    policy = load(path).policy
    assert policy.drug == Limits(witness_s=7_200, block_s=30_600)
    assert (policy.controlled, policy.consumable) == (DEFAULT_POLICY.controlled, DEFAULT_POLICY.consumable)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("port = 8101", "", ["screen.port", "found nothing", "write for example port = 8101"]),
        ("port = 8101", "port = 70000", ["screen.port", "found 70000", "to 65535"]),
        ("port = 8101", 'port = "8101"', ["screen.port", "found '8101'", "a whole number"]),
        ("port = 8101", "port = 8101\nprot = 1", ["screen.prot", "did you mean 'port'?"]),
        ("[screen]\nport = 8101", "", ["screen", "found nothing", "[screen]", "port = 8101"]),
        ('"station-1"', '"Station 1"', ["agent.device", "found 'Station 1'", "a-z, 0-9, -"]),
        ('workplace = "station"', 'workplace = "shop"', ["agent.workplace", "station, cabinet or packager"]),
        ('"/var/lib/codepool-edge"', '"data"', ["agent.data", "found 'data'", "absolute path"]),
        ('location = "pharmacy"', 'location = ""', ["agent.location", "found ''"]),
        ("[central]", 'zone = "Asia/Nowhere"\n[central]', ["agent.zone", "found 'Asia/Nowhere'", "tz database"]),
        ("mqtt://10.0.0.5:1884", "http://10.0.0.5", ["central.mqtt", "mqtt://host:port"]),
        ("mqtt://10.0.0.5:1884", "mqtt://10.0.0.5:99999", ["central.mqtt", "mqtt://host:port"]),
        ("mqtt://10.0.0.5:1884", "10.0.0.5", ["central.mqtt", "mqtt://host:port"]),
        ('"scanner-serial"', '"scanner-serail"', ["devices[1]", "is unknown", "did you mean 'scanner-serial'?"]),
        ('url = "/dev/serial/by-id/one"', "", ["devices[1]", "'url' is missing"]),
        ('"/dev/serial/by-id/one"', '"ftp://x"', ["devices[1]", "ftp://x"]),
        ('scanner = "scanner-1"', 'scanner = "scanner-2"', ["station.scanner", "'scanner-2'", "expected 'scanner-1'"]),
        ("[station]\n", "[statoin]\n", ["statoin", "did you mean 'station'?"]),
        ('name = "scanner-1"\n', "", ["devices[1].name", "found nothing"]),
        ("[station]\n", "[degraded.drgu]\n[station]\n", ["degraded.drgu", "did you mean 'drug'?"]),
        (
            "[station]\n",
            "[degraded.drug]\nmark_after_h = -1\n[station]\n",
            ["degraded.drug.mark_after_h", "found -1", "0 to 8760 hours"],
        ),
        ("[station]\n", "[station]\nmachines = { adc-1 = 'short' }\n", ["station.machines", "16 characters"]),
        ("[agent]\n", "degraded = 3\n[agent]\n", ["degraded", "found 3", "[degraded.drug]"]),
    ],
)
def test_one_mistake_is_named(tmp_path: Path, old: str, new: str, said: list[str]) -> None:
    assert old in GOOD
    mistakes = _mistakes(tmp_path, GOOD.replace(old, new))
    assert any(all(part in mistake for part in said) for mistake in mistakes), mistakes


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("port = 8101", "").replace("scanner-serial", "x").replace("mqtt://", "tcp://")
    mistakes = _mistakes(tmp_path, text.replace('location = "pharmacy"', "location = 7"))
    assert [mistake.partition(":")[0] for mistake in mistakes] == [
        "agent.location",
        "screen.port",
        "devices[1]",
        "central.mqtt",
    ]


def test_a_device_twice_and_a_line_twice_are_named(tmp_path: Path) -> None:
    again = '[[devices]]\nname = "scanner-1"\ndriver = "scanner-serial"\nurl = "/dev/ttyX"\n'
    assert "devices[2].name: found 'scanner-1' twice" in _only_mistake(tmp_path, GOOD + again)
    shared = '[[devices]]\nname = "scanner-2"\ndriver = "scanner-serial"\nurl = "/dev/serial/by-id/one"\n'
    assert "'scanner-1' has it already" in _only_mistake(tmp_path, GOOD + shared)


def test_a_device_that_cannot_do_its_job_is_named(tmp_path: Path) -> None:
    text = GOOD.replace('workplace = "station"', 'workplace = "cabinet"').partition("[station]")[0] + CABINET
    assert "cabinet.reader: found 'scanner-1', expected a tag reader" in _only_mistake(tmp_path, text)


def test_the_section_of_another_workplace_is_named(tmp_path: Path) -> None:
    mistakes = _mistakes(tmp_path, GOOD + CABINET)
    assert mistakes == [
        "cabinet: found a section, expected [station] alone; remove it, or set [agent] workplace = 'cabinet'"
    ]


@pytest.mark.parametrize("text", ["[agent\n", 'x = "\x00"', "devices = 3"])
def test_what_is_no_toml_or_no_tables_is_named(tmp_path: Path, text: str) -> None:
    assert _mistakes(tmp_path, text)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(b"\xff\xfe[agent]")
    with pytest.raises(ConfigError, match="expected TOML in UTF-8"):
        load(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnreadableError, match="No such file") as missing:
        load(tmp_path / "none.toml")
    assert missing.value.exit_status is Exit.CONFIG_UNREADABLE
    with pytest.raises(ConfigUnreadableError, match="Is a directory"):
        load(tmp_path)
