"""Configuration and command: every mistake named, every refusal to start with a status of its own."""

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from central import cli
from central.config import load
from central.errors import ConfigError, Exit
from central.ledger import store

GOOD = """
[central]
data = "data"
port = 0

[mqtt]
url = "mqtt://ward:se%40cret@broker.example:1884"

[insurer]
url = "https://insurer.example/fsi"
institution = "H11010000001"
admdvs = "110100"

[msfx]
url = "https://eco.taobao.com/router/rest"
app_key = "12129701"
app_secret = "hidden-secret"
ref_ent_id = "REF0001"
ent_id = "E0001"

[[clients]]
name = "his"
token = "0123456789abcdef"
scopes = ["orders", "read"]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "central.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_configuration_says_what_it_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, GOOD)
    config = load(path)
    assert config.data == tmp_path / "data"
    assert (config.broker.host, config.broker.port) == ("broker.example", 1884)
    assert (config.broker.user, config.broker.password) == ("ward", "se@cret")
    assert config.insurer is not None
    assert config.insurer.institution.code == "H11010000001"
    assert config.clients[0].scopes == {"orders", "read"}
    assert cli.main(["check-config", "--config", str(path)]) == Exit.OK
    shown = capsys.readouterr().out
    assert "broker.example:1884" in shown
    assert "cret" not in shown
    assert "0123456789abcdef" not in shown
    assert "hidden-secret" not in shown


MISTAKES = [
    ('app_key = "12129701"\n', "", "[msfx] app_key: missing, expected text"),
    ('ent_id = "E0001"', 'ent_id = ""', "[msfx] ent_id: found nothing, expected the one that the platform gave"),
    ('ent_id = "E0001"', 'ent_id = "E1"\nsign_method = "md4"', "[msfx] sign_method: found 'md4', expected md5 or hmac"),
    ('ent_id = "E0001"', 'ent_id = "E1"\nper_s = 0.0', "[msfx] per_s: found 0.0, expected requests a second above 0"),
    ("port = 0", "", "[central] port: missing, expected a whole number"),
    ("port = 0", 'port = "8100"', "[central] port: found '8100', expected a whole number"),
    ("port = 0", "port = 70000", "[central] port: found 70000"),
    ("port = 0", "port = 0\nprot = 1", "[central] prot: unknown"),
    ("port = 0", "port = 0\nprot = 1", "did you mean port?"),
    ("port = 0", 'port = 0\nlanguage = "fr"', "[central] language: found 'fr', expected zh-CN or en"),
    ("port = 0", 'port = 0\nzone = "Asia/Peking"', "[central] zone: found 'Asia/Peking'"),
    ("port = 0", 'port = 0\nshifts = ["8:00"]', "[central] shifts: found ['8:00']"),
    ("port = 0", 'port = 0\nshifts = ["16:00", "08:00"]', "expected the times that shifts begin at, rising"),
    ("port = 0", "port = 0\nshifts = []", "[central] shifts: found []"),
    ('data = "data"', 'data = ""', "[central] data: found nothing"),
    ("mqtt://ward", "http://ward", "[mqtt] url: found 'http://ward"),
    ("1884", "port", "[mqtt] url"),
    ("[mqtt]", "[mqqt]", "[mqqt]: unknown section"),
    ("[mqtt]", "[mqqt]", "[mqtt]: missing"),
    ("H11010000001", "H1", "[insurer] institution: found 'H1'"),
    ('"110100"', '"Beijing"', "[insurer] admdvs: found 'Beijing'"),
    ('admdvs = "110100"', 'admdvs = "110100"\ntoken = "x"', "[insurer] paasid, token: found one of them"),
    ('admdvs = "110100"', 'admdvs = "110100"\ntimeout_s = 0', "[insurer] timeout_s: found 0"),
    ("0123456789abcdef", "short", "[[clients]] number 1 token: found 5 characters"),
    ('"orders", "read"', '"ordres"', "found 'ordres'"),
    ('scopes = ["orders", "read"]', 'scopes = "read"', "scopes: found 'read', expected a list of texts"),
    ("[[clients]]", "[clients]", "[clients]: found dict, expected [[clients]] for each"),
    ("[central]", "[central", "not TOML"),
]


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES)
def test_each_mistake_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    assert cli.main(["run", "--config", str(path)]) == Exit.CONFIG_WRONG
    shown = capsys.readouterr().err
    assert said in shown
    assert str(path) in shown
    assert len(shown.splitlines()) < 25
    assert not (tmp_path / "data").exists()


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("port = 0", "port = -1").replace("mqtt://", "tcp://").replace('"his"', '""')
    twice = text + '[[clients]]\nname = "b"\ntoken = "0123456789abcdef"\nscopes = []\n'
    with pytest.raises(ConfigError, match="5 to correct") as raised:
        load(written(tmp_path, twice))
    assert "token of another client" in str(raised.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_an_unreadable_file_has_its_own_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = tmp_path / "central.toml"
    if content is not None:
        path.write_bytes(content)
    assert cli.main(["run", "--config", str(path)]) == Exit.CONFIG_UNREADABLE
    assert str(path) in capsys.readouterr().err


def run(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "central.cli", "run", "--config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("status", [Exit.PORT_IN_USE, Exit.LEDGER_CORRUPT, Exit.LEDGER_NEWER, Exit.DATA_FOLDER_HELD])
def test_central_that_cannot_start_says_why_with_a_status_of_its_own(tmp_path: Path, status: Exit) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] if status is Exit.PORT_IN_USE else 0
        path = written(tmp_path, GOOD.replace("port = 0", f"port = {port}"))
        held = None
        if status is Exit.LEDGER_CORRUPT:
            (data / store.FILE).write_bytes(b"no database" * 999)
        elif status is Exit.LEDGER_NEWER:
            connection = sqlite3.connect(store.prepare(data, now_us=1))
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
            connection.close()
        elif status is Exit.DATA_FOLDER_HELD:
            held = store.hold(data)
        done = run(path)
        if held is not None:
            held.close()
    assert done.returncode == status
    said = done.stderr.partition("codepool-central: ")[2]
    assert "Traceback" not in done.stderr
    assert 2 <= len(said.splitlines()) <= 8
    assert (str(port) if status is Exit.PORT_IN_USE else str(data)) in said


def test_migrate_makes_a_ledger_and_a_disk_that_cannot_be_written_has_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, GOOD)
    assert cli.main(["migrate", "--config", str(path)]) == Exit.OK
    assert (tmp_path / "data" / store.FILE).exists()
    (tmp_path / "file").write_text("")
    path = written(tmp_path, GOOD.replace('"data"', '"file/data"'))
    assert cli.main(["migrate", "--config", str(path)]) == Exit.DISK
    assert "file/data" in capsys.readouterr().err


def test_help_lists_the_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    for status in Exit:
        assert f"\n  {status:<3d} " in shown
