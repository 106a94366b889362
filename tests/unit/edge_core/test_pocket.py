"""A process that died goes on with its lease while the computer stays on; a disk that was set back does not."""

import shutil
from pathlib import Path

import pytest

from edge_agent.rights import build_rights
from edge_agent.store.journal import Journal
from edge_agent.store.leased import LeaseChange
from edge_agent.store.pocket import Note, Pocket, open_pocket
from tests.unit.edge_core.shelf import HandClock, Shelf, code, piece, taken

BOOT, OTHER_BOOT = b"b" * 16, b"o" * 16
DEADLINE_US = 900_000_000


@pytest.fixture
def pocket(tmp_path: Path) -> Pocket:
    return Pocket(tmp_path / "pocket", BOOT)


def start(folder: Path, pocket: Pocket, session: int) -> tuple[Journal, bool]:
    """Another process on the folder, and whether it may issue the piece that was granted."""
    journal = Journal.open(folder / "journal.db", device="station-1", session=bytes([session]) * 16, started_us=1)
    return journal, build_rights(journal, pocket, HandClock()).may_issue([code(1)])


def granted(folder: Path, pocket: Pocket) -> Journal:
    folder.mkdir(exist_ok=True)
    journal, may = start(folder, pocket, 1)
    assert not may
    journal.keep_lease(LeaseChange(added=(code(1), code(2))), incarnation=0, is_whole=True)
    pocket.write(Note(session=journal.start.session, seq=0, changes=journal.lease_changes, deadline_us=DEADLINE_US))
    return journal


def test_a_process_that_died_goes_on_with_its_lease(tmp_path: Path, pocket: Pocket) -> None:
    granted(tmp_path, pocket).close()
    journal, may = start(tmp_path, pocket, 2)
    assert may
    journal.close()
    journal, may = start(tmp_path, pocket, 3)
    assert may, "also the one after it"
    journal.close()


def test_after_a_reboot_central_has_the_word(tmp_path: Path, pocket: Pocket) -> None:
    granted(tmp_path, pocket).close()
    journal, may = start(tmp_path, Pocket(tmp_path / "pocket", OTHER_BOOT), 2)
    assert not may
    journal.close()


@pytest.mark.fault(12)
def test_an_older_copy_of_the_folder_may_issue_nothing(tmp_path: Path, pocket: Pocket) -> None:
    folder, image = tmp_path / "data", tmp_path / "image"
    granted(folder, pocket).close()
    shutil.copytree(folder, image)
    journal, _ = start(folder, pocket, 2)
    journal.keep_lease(LeaseChange(removed=(code(2),)), incarnation=0, is_whole=False)
    build_rights(journal, pocket, HandClock())
    journal.close()
    shutil.rmtree(folder)
    shutil.copytree(image, folder)
    journal, may = start(folder, pocket, 3)
    assert not may
    journal.close()


@pytest.mark.fault(13)
def test_a_copied_folder_elsewhere_has_another_pocket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    here, there = open_pocket(tmp_path / "a"), open_pocket(tmp_path / "b")
    assert here.path != there.path
    here.write(Note(session=b"s" * 16, seq=1, changes=1, deadline_us=5))
    assert open_pocket(tmp_path / "a").read() == Note(session=b"s" * 16, seq=1, changes=1, deadline_us=5)
    assert there.read() is None


async def test_what_was_used_is_not_usable_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "data")
    await shelf.load(piece(1), piece(2))
    await shelf.recorder.record(taken(1))
    shelf.close()
    folder = tmp_path / "data"
    journal = Journal.open(folder / "journal.db", device="cabinet-1", session=b"x" * 16, started_us=1)
    assert journal.leased()[1] == [code(2)]
    journal.close()
