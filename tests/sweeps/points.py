"""One point of a sweep: a process forked from a warm one does its transaction with one system call made to fail.

Starting Python takes longer than everything else together, so a worker imports the shipping code once and forks for
each point; strace is attached to the fork while it waits, and is told which call to fail.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.sweeps.cases import Case, Told

_ATTACHED = re.compile(r"^TracerPid:\t[1-9]", re.MULTILINE)
_WITHIN_S = 30.0
_BROKE = "BROKE "


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """``call`` of the kernel fails as ``how`` says ("signal=KILL", "error=EIO"); ``is_lasting``: and goes on to."""

    call: str
    how: str
    is_lasting: bool = False

    def __str__(self) -> str:
        return f"{self.call}:{self.how}" + ("+" if self.is_lasting else "")

    @property
    def is_kill(self) -> bool:
        return "KILL" in self.how

    def injection(self, point: int) -> tuple[str, ...]:
        """Options of strace."""
        often = f"{point}+" if self.is_lasting else str(point)
        return ("-e", f"trace={self.call}", "-e", f"inject={self.call}:{self.how}:when={often}")


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """``is_reached``: the fault happened at all."""

    told: Told
    is_reached: bool
    is_killed: bool


def prepared(case: Case, scratch: Path) -> Path:
    """A folder in which the case can begin, made once."""
    template = scratch / f"{case.name}.template"
    if not template.exists():
        template.mkdir(parents=True)
        asyncio.run(case.prepare(template))
    return template


def run_point(
    case: Case,
    folder: Path,
    options: tuple[str, ...],
    trace: Path,
    *,
    is_lasting: bool = False,
    is_read: bool = False,
    at_ready: Callable[[], object] = lambda: None,
) -> Ended:
    """Do the case in ``folder``, in a process of its own, under strace with these options.

    ``at_ready`` is called when the process is about to begin.
    """
    if is_read:
        case = msgspec.structs.replace(case, refused=(*case.refused, *case.unreadable))
    ready, go = os.pipe(), os.pipe()
    said = os.pipe()
    child = os.fork()
    if not child:
        _live(case, folder, ready[1], go[0], said[1])
    for end in (ready[1], go[0], said[1]):
        os.close(end)
    try:
        assert os.read(ready[0], 1) == b"r", "the case never began"
        at_ready()
        tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", str(trace), "-p", str(child), *options], stderr=subprocess.DEVNULL
        )
        _await_tracer(child)
        os.write(go[1], b"g")
        text = _read_all(said[0])
        _, status = os.waitpid(child, 0)
        tracer.wait(_WITHIN_S)
    finally:
        for end in (ready[0], go[1], said[0]):
            os.close(end)
    lines = text.splitlines()
    broken = [part.removeprefix(_BROKE) for part in text.split("\0") if part.startswith(_BROKE)]
    assert not broken, " < ".join(line.strip() for line in broken[0].splitlines()[:-8:-1])
    is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    told = Told(
        said=tuple(line[3:] for line in lines if line.startswith("OK ")),
        refused=tuple(line[8:] for line in lines if line.startswith("REFUSED ")),
        is_disk_dead=is_lasting,
        is_unreadable=is_read,
    )
    is_injected = b"(INJECTED)" in trace.read_bytes()
    return Ended(told=told, is_reached=is_killed or is_injected, is_killed=is_killed)


def check_point(case: Case, folder: Path, told: Told) -> float:
    """Seconds that the opening took. Raises AssertionError, or whatever the shipping code wrongly raises."""
    return asyncio.run(case.check(folder, told))


def fresh(template: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    return folder


def _live(case: Case, folder: Path, ready: int, go: int, said: int) -> None:
    """The life of the fork. ``writev`` is the call that nothing else uses, so that no fault hits what is said."""

    def begin() -> None:
        os.write(ready, b"r")
        os.read(go, 1)

    def say(text: str) -> None:
        os.writev(said, [f"{text}\n".encode()])

    status = 0
    try:
        asyncio.run(_act(case, folder, begin, say))
    except BaseException:  # noqa: BLE001 - the end of a process: told to the one that waits for it
        os.writev(said, [f"\0{_BROKE}{traceback.format_exc()}".encode()])
        status = 70
    finally:
        os._exit(status)


async def _act(case: Case, folder: Path, begin: Callable[[], None], say: Callable[[str], None]) -> None:
    try:
        await case.act(folder, begin, say)
    except case.refused as error:
        say(f"STOPPED {type(error).__name__} {error}".replace("\n", " "))


def _await_tracer(child: int) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not _ATTACHED.search(Path(f"/proc/{child}/status").read_text("ascii")):
        assert time.monotonic() < deadline, "strace never attached"
        time.sleep(0.0005)


def _read_all(descriptor: int) -> str:
    parts = []
    while part := os.read(descriptor, 65_536):
        parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")
