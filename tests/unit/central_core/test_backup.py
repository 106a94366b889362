"""REQ-02: a backup counts once it is verified, and then its facts are safe; a restored one is another life (REQ-03)."""

import asyncio
import io
import os
import shutil
import sqlite3
import threading
from pathlib import Path

import msgspec
import pytest

from central import backup, cli
from central.backup import Bars, Manifest
from central.errors import DataFolderHeldError, DiskError, Exit, LedgerCorruptError, OverwriteError
from central.ledger import store
from central.progress import Bar
from central.sync.safe import Safe
from sync_protocol.facts import What
from sync_protocol.machines.incarnation import version_of_new_life
from sync_protocol.messages import Ack, Hello, Position, Welcome
from tests.unit.central_core.desk import NOON_US, STENT, Desk, HandAgent, piece
from tests.unit.central_core.test_verify import busy, check

QUIET = Bars(copying=lambda _done, _of: None, verifying=lambda _done, _of: None)


def saved(desk: Desk, to: Path) -> tuple[Manifest, Path]:
    manifest = backup.backup(desk.path.parent, to, now_us=NOON_US, bars=QUIET)
    return manifest, to / manifest.file


def restored(folder: Path, file: Path, *, replace: bool = False) -> None:
    backup.restore(folder, file, replace=replace, now_us=NOON_US + 1, bars=QUIET)


async def test_a_backup_is_one_file_with_a_manifest_and_is_whole(desk: Desk, tmp_path: Path) -> None:
    await busy(desk)
    manifest, file = saved(desk, tmp_path / "to")
    assert {path.name for path in file.parent.iterdir()} == {file.name, f"{file.name}.json"}
    assert (manifest.version, manifest.incarnation) == (desk.ledger.version, desk.ledger.incarnation)
    assert (manifest.bytes, manifest.facts) == (file.stat().st_size, desk.rows("SELECT count(*) FROM fact")[0][0])
    assert backup.read_manifest(file.with_name(f"{file.name}.json")) == manifest
    assert check(file, desk.path.parent).is_whole


async def test_a_backup_under_write_load_is_one_moment_and_restores_clean(desk: Desk, tmp_path: Path) -> None:
    """Hundreds of commits while it is taken."""
    await desk.in_stock(STENT, [piece(number) for number in range(900)], note="N-P")
    results: list[Manifest] = []
    taking = threading.Thread(target=lambda: results.append(saved(desk, tmp_path / "to")[0]))
    before = desk.ledger.version
    taking.start()
    while taking.is_alive():
        for number in range(10):
            desk.record(What.COUNTED, piece(number))
        await asyncio.sleep(0)
    taking.join()
    (manifest,) = results
    assert before <= manifest.version < desk.ledger.version
    restored(tmp_path / "new", tmp_path / "to" / manifest.file)
    again = Desk(tmp_path / "new")
    assert again.ledger.version == version_of_new_life(manifest.version)
    assert again.ledger.incarnation > desk.ledger.incarnation
    again.close()
    assert check(tmp_path / "new" / "ledger.db").is_whole


async def test_a_ledger_that_is_not_whole_has_no_backup(desk: Desk, tmp_path: Path) -> None:
    await busy(desk)
    raw = sqlite3.connect(desk.path)
    raw.execute("UPDATE item SET state = 'in_stock' WHERE code = ?", (piece(0),))
    raw.commit()
    raw.close()
    with pytest.raises(LedgerCorruptError, match=f"item {piece(0)}"):
        saved(desk, tmp_path / "to")
    assert not list((tmp_path / "to").glob("*.json"))
    assert not (desk.path.parent / backup.INBOX).exists()


class TestSafe:
    async def test_what_a_backup_holds_is_told_with_acks_welcomes_and_at_once(self, desk: Desk, tmp_path: Path) -> None:
        await desk.in_stock(STENT, [piece(number) for number in range(9)], note="N-P")
        agent = HandAgent("cabinet-1")
        (ack,) = await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(0)), desk.fact(What.TAKEN, piece(1))))
        assert ack.safe == 0
        saved(desk, tmp_path / "to")
        (ack,) = await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(2))))
        assert (ack.through, ack.safe) == (3, 0), "a manifest that was not read proves nothing"
        Safe(desk.ledger, desk.ingest.tell, desk.path.parent).take_in()
        told = desk.post.to("cabinet-1", Ack)[-1]
        assert (told.session, told.through, told.safe) == (agent.start.session, 3, 2)
        assert told.credit > 0, "0 would mean as many as its window holds"
        (ack,) = await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(3))))
        assert (ack.through, ack.safe) == (4, 2)
        asked = (Position(session=agent.start.session, through=0),)
        hello = Hello(start=agent.start, head=None, head_hash=b"", pending=asked, replica_version=0)
        await desk.send(agent, hello)
        assert desk.post.to("cabinet-1", Welcome)[-1].positions[0].safe == 2
        assert not list((desk.path.parent / backup.INBOX).iterdir())
        assert desk.rows("SELECT facts FROM backup") == [(4,)]

    async def test_it_works_when_central_stood_still_meanwhile(self, desk: Desk, tmp_path: Path) -> None:
        await desk.in_stock(STENT, [piece(0)], note="N-P")
        agent = HandAgent("cabinet-1")
        await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(0))))
        desk.close()
        saved(desk, tmp_path / "to")
        again = Desk(tmp_path / "data")
        Safe(again.ledger, again.ingest.tell, tmp_path / "data").take_in()
        assert again.rows("SELECT safe FROM session WHERE device = 'cabinet-1'") == [(1,)]
        again.close()

    async def test_an_older_backup_takes_nothing_back(self, desk: Desk, tmp_path: Path) -> None:
        """I8."""
        await desk.in_stock(STENT, [piece(0), piece(1)], note="N-P")
        agent = HandAgent("cabinet-1")
        safe = Safe(desk.ledger, desk.ingest.tell, desk.path.parent)
        for number in range(2):
            await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(number))))
            backup.backup(desk.path.parent, tmp_path / "to", now_us=NOON_US + number * 1_000_000, bars=QUIET)
        inbox = sorted((desk.path.parent / backup.INBOX).iterdir())
        older = inbox[0].read_bytes()
        inbox[0].unlink()
        safe.take_in()
        inbox[0].write_bytes(older)
        safe.take_in()
        assert desk.rows("SELECT safe FROM session WHERE device = 'cabinet-1'") == [(2,)]

    async def test_facts_of_another_life_are_not_safe_here(self, desk: Desk, tmp_path: Path) -> None:
        """The same session and seq, another hash: a backup of a history that is not this one."""
        await desk.in_stock(STENT, [piece(0)], note="N-P")
        agent = HandAgent("cabinet-1")
        await desk.send(agent, agent.batch(desk.fact(What.TAKEN, piece(0))))
        manifest, _ = saved(desk, tmp_path / "to")
        other = {name: (through, os.urandom(32).hex()) for name, (through, _) in manifest.sessions.items()}
        (path,) = (desk.path.parent / backup.INBOX).iterdir()
        backup._write(path, msgspec.structs.replace(manifest, sessions=other))
        Safe(desk.ledger, desk.ingest.tell, desk.path.parent).take_in()
        assert desk.rows("SELECT max(safe) FROM session") == [(0,)]

    async def test_what_is_no_manifest_is_set_aside(self, desk: Desk) -> None:
        inbox = desk.path.parent / backup.INBOX
        inbox.mkdir()
        (inbox / "a.json").write_text("{}")
        Safe(desk.ledger, desk.ingest.tell, desk.path.parent).take_in()
        assert [path.name for path in inbox.iterdir()] == ["a.bad"]


class TestRestore:
    async def test_a_ledger_is_not_overwritten_unless_told_and_is_kept_aside_then(
        self, desk: Desk, tmp_path: Path
    ) -> None:
        await busy(desk)
        _, file = saved(desk, tmp_path / "to")
        desk.record(What.COUNTED, piece(1))
        version, incarnation = desk.ledger.version, desk.ledger.incarnation
        desk.close()
        with pytest.raises(OverwriteError, match="--replace"):
            restored(tmp_path / "data", file)
        restored(tmp_path / "data", file, replace=True)
        (aside,) = (tmp_path / "data").glob("replaced-*")
        raw = sqlite3.connect(aside / store.FILE)
        assert raw.execute("SELECT value FROM meta WHERE key = 'version'").fetchone() == (str(version),)
        raw.close()
        again = Desk(tmp_path / "data")
        assert again.ledger.version == version_of_new_life(version - 1)
        assert again.ledger.incarnation > incarnation
        assert again.refill.is_on
        again.close()
        assert check(tmp_path / "data" / "ledger.db").is_whole

    async def test_central_must_not_run(self, desk: Desk, tmp_path: Path) -> None:
        _, file = saved(desk, tmp_path / "to")
        with store.hold(tmp_path / "data"), pytest.raises(DataFolderHeldError):
            restored(tmp_path / "data", file, replace=True)

    @pytest.mark.parametrize("damage", ["backup", "manifest", "no manifest", "no backup"])
    async def test_a_damaged_backup_changes_nothing(self, desk: Desk, tmp_path: Path, damage: str) -> None:
        await busy(desk)
        _, file = saved(desk, tmp_path / "to")
        beside = file.with_name(f"{file.name}.json")
        if damage == "backup":
            content = bytearray(file.read_bytes())
            content[-100] ^= 1
            file.write_bytes(content)
        elif damage == "manifest":
            beside.write_text("{}")
        else:
            (beside if damage == "no manifest" else file).unlink()
        with pytest.raises((LedgerCorruptError, DiskError)):
            restored(tmp_path / "new", file)
        assert not (tmp_path / "new" / store.FILE).exists()

    async def test_a_backup_edited_with_its_manifest_is_found(self, desk: Desk, tmp_path: Path) -> None:
        await busy(desk)
        manifest, file = saved(desk, tmp_path / "to")
        raw = sqlite3.connect(file)
        raw.execute("UPDATE person SET pin = '' WHERE id = 'n1'")
        raw.commit()
        raw.close()
        edited = msgspec.structs.replace(manifest, sha256=backup._sha256(file), bytes=file.stat().st_size)
        backup._write(file.with_name(f"{file.name}.json"), edited)
        with pytest.raises(LedgerCorruptError, match="table person"):
            restored(tmp_path / "new", file)

    async def test_a_restore_that_was_interrupted_is_not_started_on_and_can_be_repeated(
        self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Never start empty: between the old ledger and the new one there is none."""
        await busy(desk)
        _, file = saved(desk, tmp_path / "to")
        desk.close()

        class PowerCutError(BaseException):
            pass

        def dying(*_: object) -> None:
            raise PowerCutError

        with monkeypatch.context() as patch:
            patch.setattr(backup, "_keep_aside", lambda path, _now: shutil.move(path, f"{path}.aside"))
            patch.setattr(Path, "replace", dying)
            with pytest.raises(PowerCutError):
                restored(tmp_path / "data", file, replace=True)
        with pytest.raises(LedgerCorruptError, match="restore that was interrupted"):
            Desk(tmp_path / "data")
        restored(tmp_path / "data", file, replace=True)
        Desk(tmp_path / "data").close()

    async def test_a_backup_restored_on_another_machine_is_signed_by_its_key_from_then_on(
        self, desk: Desk, tmp_path: Path
    ) -> None:
        await busy(desk)
        _, file = saved(desk, tmp_path / "to")
        restored(tmp_path / "new", file)
        assert check(tmp_path / "new" / "ledger.db").is_whole
        again = Desk(tmp_path / "new")
        again.record(What.COUNTED, piece(1))
        again.close()
        assert check(tmp_path / "new" / "ledger.db").is_whole


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = cli.main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return status, told.out + told.err


async def test_the_commands_end_with_a_status_and_say_what_is(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await busy(desk)
    data = tmp_path / "data"
    status, text = said(capsys, "backup", "--data", data, "--to", tmp_path / "to")
    assert (status, "verified" in text) == (Exit.OK, True)
    (file,) = (tmp_path / "to").glob("*.db")
    status, text = said(capsys, "verify", "--data", data)
    assert (status, "ledger.db: whole: " in text) == (Exit.OK, True)
    assert said(capsys, "restore", "--from", file, "--data", data)[0] == Exit.WOULD_OVERWRITE
    status, text = said(capsys, "restore", "--from", file, "--data", tmp_path / "new")
    assert (status, "every agent gives back" in text) == (Exit.OK, True)
    raw = sqlite3.connect(desk.path)
    raw.execute("DELETE FROM fact WHERE position = 7")
    raw.commit()
    raw.close()
    status, text = said(capsys, "verify", "--data", data)
    assert status == Exit.LEDGER_CORRUPT
    assert "NOT WHOLE" in text
    assert "fact 8: found after position 6" in text
    assert said(capsys, "verify", "--data", tmp_path / "nothing")[0] == Exit.DISK


def test_the_bar_is_for_a_terminal_and_renews_itself() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        bar = Bar("copying", stream)
        for done in range(0, 1001, 5):
            bar(done, 1000)
    assert file.getvalue() == ""
    assert terminal.getvalue().count("\r") == 101
    assert terminal.getvalue().endswith("[##############################] 100 %\n")
