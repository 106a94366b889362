"""Where a node's files are: another folder after every death, as a machine would find them after a reset."""

import shutil
from pathlib import Path


class Folders:
    """``current``: that of the process that runs now, or would."""

    def __init__(self, first: Path) -> None:
        self._first = first
        self._deaths = 0
        self.current = first

    def leave(self, *, is_empty: bool = False) -> None:
        """``is_empty``: what was in the folder stays behind."""
        self._deaths += 1
        left, self.current = self.current, self.beside(str(self._deaths))
        if is_empty:
            self.current.mkdir()
        elif left.exists():
            copy(left, self.current)

    def beside(self, name: str) -> Path:
        return self._first.with_name(f"{self._first.name}-{name}")


def copy(folder: Path, to: Path) -> None:
    """Files as a machine would find them after a reset: without the shared memory of the processes."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*-shm"), dirs_exist_ok=True)
