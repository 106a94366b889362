"""One real process of the demo: started with its log in a file, killed as a power cut kills, or asked to stop."""

import asyncio
import os
import signal
import sys
from pathlib import Path

_LEASH = (sys.executable, "-m", "hardware_sims.leash")
_STOP_S = 8.0
_LOG_TAIL = 25


class ProcessDiedError(Exception):
    """A process ended, or never became ready; the message holds the end of its log."""

    def __init__(self, process: "ManagedProcess", what: str) -> None:
        state = f"exit status {process.status}" if process.has_died else "still running"
        super().__init__(
            f"{process.name}: {what} ({state})\n"
            f"  command: {' '.join(process.command)}\n"
            f"  log:     {process.log}\n{process.log_tail()}"
        )
        self.process = process


class ManagedProcess:
    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.command = command
        self.log = log
        self._running: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Raises ProcessDiedError unless it was started."""
        return self._process().pid

    @property
    def status(self) -> int | None:
        return None if self._running is None else self._running.returncode

    @property
    def has_died(self) -> bool:
        return self.status is not None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                *_LEASH,
                str(os.getpid()),
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ
                | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
                # What a unit gives it for as long as the machine is on: here gone with everything else.
                | {"RUNTIME_DIRECTORY": str(self.log.parent.absolute())},
                # Ctrl-C is for the demo; it then stops its processes in order.
                start_new_session=True,
            )

    async def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody says goodbye."""
        self._signal(signal.SIGKILL)
        if self._running is not None:
            await self._running.wait()

    def pause(self) -> None:
        """SIGSTOP: it stands still, with its connections, until ``go_on``."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """SIGTERM; SIGKILL if that does not help in time. Does nothing if it is not running."""
        if self._running is None or self.has_died:
            return
        self._signal(signal.SIGCONT)  # a paused one would not hear
        self._signal(signal.SIGTERM)  # the last: whoever signals looks first whether it is gone, and takes its status
        try:
            await asyncio.wait_for(self._running.wait(), _STOP_S)
        except TimeoutError:
            await self.kill()

    async def ended(self) -> int:
        """Its exit status, once it ended by itself."""
        process = self._process()
        return await process.wait()

    def log_tail(self) -> str:
        """The last lines of its log, indented."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            return f"    (no log: {error})"
        return "\n".join(f"    {line}" for line in lines[-_LOG_TAIL:])

    def _signal(self, number: signal.Signals) -> None:
        process = self._process()
        if process.returncode is None:
            process.send_signal(number)

    def _process(self) -> asyncio.subprocess.Process:
        if self._running is None:
            raise ProcessDiedError(self, "was never started")
        return self._running
