"""Many codes at once at intake (A25): a picture, each of its codes answered as if it had been scanned alone."""

import asyncio
import contextlib
import sys

import msgspec

from drivers.readings import Scan
from edge_agent.picture_reader import NO_PICTURE, TOO_LARGE, Sheet
from edge_agent.workflows.verdicts import Refuse, Result, Step, StepReason, Verdict

STEPS = frozenset({Step.RECEIVE, Step.PRESCAN})
"""Where a picture is read: what comes in lies open on a table."""
BYTES_AT_MOST = 24 * 1024 * 1024
_PATIENCE_S = 30.0
_decode = msgspec.msgpack.Decoder(Sheet).decode


class Pictures:
    """Reads one picture at a time, each in a process of its own."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def read(self, picture: bytes, *, source: str) -> list[Scan]:
        """Every code in it. Raises Refuse if there is none, or if it cannot be read."""
        async with self._one_at_a_time:
            status, out, cause = await _run(picture)
        if status == TOO_LARGE:
            raise Refuse(StepReason.PICTURE_TOO_LARGE, found=cause)
        if status != 0:
            raise Refuse(StepReason.NOT_A_PICTURE, found=f"{len(picture):,} B" if status == NO_PICTURE else cause)
        sheet = _decode(out)
        if not sheet.marks:
            raise Refuse(StepReason.NO_CODE_IN_PICTURE, found=f"{sheet.width} × {sheet.height}")
        return [Scan(source=source, data=mark.data, aim=mark.aim) for mark in sheet.marks]


def summed_up(step: Step, verdicts: list[Verdict]) -> Verdict:
    """One answer for the picture: refused if any of its codes is, so that nobody overhears it."""
    results = {verdict.result for verdict in verdicts}
    worst = next(
        result for result in (Result.REFUSED, Result.DONE, Result.PROGRESS, Result.REPEAT) if result in results
    )
    reason = next((verdict.reason for verdict in verdicts if verdict.is_refused), "")
    return Verdict(result=worst, step=step, reason=reason, each=tuple(verdicts))


async def _run(picture: bytes) -> tuple[int, bytes, str]:
    """Exit status, output and cause."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "edge_agent.picture_reader",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            out, err = await process.communicate(picture)
    except TimeoutError:
        return NO_PICTURE, b"", ""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode or 0, out, err.decode("utf-8", "replace").strip().splitlines()[-1][:80] if err else ""
