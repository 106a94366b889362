"""Fetches a snapshot over HTTP into the data folder, and goes on where it was cut (REQ-06).

Two files, named by the hash of what was offered: ``.part`` is what has come, ``.whole`` what was checked and unpacked.
The part outlives cuts, restarts and offers of the same file; anything else of that name is thrown away.
"""

import asyncio
import contextlib
import errno
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import BinaryIO

import aiohttp

from edge_agent.clock import Watch
from edge_agent.errors import EdgeError
from edge_agent.store import snapshot
from edge_agent.store.folder import SNAPSHOT
from edge_agent.sync.state import Download
from sync_protocol.machines.bootstrap import Fetched, Missed
from sync_protocol.messages import Offer

CONNECT_S = 5.0
SILENT_S = 15.0
CHUNK = 1 << 18
SPARE_BYTES = 64 << 20
"""Room on the disk that no snapshot takes: the journal's."""
SHOWN_EVERY = 1 << 20
_OK, _PARTIAL, _BEYOND = 200, 206, 416


class CutError(EdgeError):
    """It did not come, or not all of it; what came is kept."""


class Fetcher:
    """``url``: of central's site."""

    def __init__(self, url: str, folder: Path, *, watch: Watch, random: Random) -> None:
        self._url = url.rstrip("/")
        self._folder = folder
        self._watch = watch
        self._random = random
        self._fetched = 0
        self._show: Callable[[Download | None], None] = lambda _: None
        self._wanted: asyncio.Queue[Offer] = asyncio.Queue(1)
        self._attempting: asyncio.Task[Fetched | Missed] | None = None
        self._clear(except_for=self.part)

    @property
    def part(self) -> bytes:
        """SHA-256 of the snapshot of which a part is here; empty: of none."""
        for path in sorted(self._folder.glob(f"{SNAPSHOT}-*.part")):
            with contextlib.suppress(ValueError):
                return bytes.fromhex(path.stem.removeprefix(f"{SNAPSHOT}-"))
        return b""

    def whole(self, offer: Offer) -> Path:
        """Where the checked and unpacked file of an offer lies once it is fetched."""
        return self._folder / f"{SNAPSHOT}-{offer.sha256.hex()}.whole"

    def fetch(self, offer: Offer) -> None:
        """Begin an attempt; the one before, if it still runs, is of no interest any more."""
        while not self._wanted.empty():
            self._wanted.get_nowait()
        self._wanted.put_nowait(offer)
        if self._attempting is not None:
            self._attempting.cancel()

    def discard(self, offer: Offer) -> None:
        self.whole(offer).unlink(missing_ok=True)

    async def run(
        self, hear: Callable[[Fetched | Missed], Awaitable[None]], show: Callable[[Download | None], None]
    ) -> None:
        """Serve until cancelled. ``hear`` gets the end of every attempt, ``show`` how far it is; None: it is over."""
        self._show = show
        while True:
            attempt = asyncio.create_task(self._attempt(await self._wanted.get()), name="snapshot: attempt")
            self._attempting = attempt
            try:
                await asyncio.wait({attempt})
            finally:
                attempt.cancel()
                await asyncio.wait({attempt})
                self._attempting = None
                show(None)
            if not attempt.cancelled():
                await hear(attempt.result())

    async def _attempt(self, offer: Offer) -> Fetched | Missed:
        self._fetched, is_wrong = 0, False
        part = self._part(offer)
        try:
            self._clear(except_for=offer.sha256)
            await self._download(offer)
            await _prepare(part, self.whole(offer), offer)
            part.unlink()
        except snapshot.WrongSnapshotError as error:
            cause, is_wrong = str(error), True
            part.unlink(missing_ok=True)
        except (CutError, aiohttp.ClientError, TimeoutError) as error:
            cause = f"{self._url}: {str(error) or type(error).__name__}"
        except OSError as error:
            cause = f"{error.filename or self._folder}: {error.strerror or error}"
        else:
            return Fetched(offer=offer, now_us=self._watch.clock.mono_us())
        return Missed(
            offer=offer,
            cause=cause,
            is_wrong=is_wrong,
            fetched=self._fetched,
            chance=self._random.random(),
            now_us=self._watch.clock.mono_us(),
        )

    async def _download(self, offer: Offer) -> None:
        part = self._part(offer)
        have = part.stat().st_size if part.exists() else 0
        free = shutil.disk_usage(self._folder).free
        need = offer.size - have + offer.raw_size + SPARE_BYTES
        if free < need:
            found, expected = free >> 20, need >> 20
            raise OSError(errno.ENOSPC, f"found {found} MB free, expected {expected} MB for a snapshot", str(part))
        if have == offer.size:
            return
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        headers = {"Authorization": f"Bearer {offer.ticket}", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(f"{self._url}{offer.path}", headers=headers, allow_redirects=False) as response,
        ):
            await self._take(response, part, offer, have)

    async def _take(self, response: aiohttp.ClientResponse, part: Path, offer: Offer, have: int) -> None:
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status == _BEYOND or (response.status == _PARTIAL and not goes_on):
            raise snapshot.WrongSnapshotError("range", response.headers.get("Content-Range"), f"bytes from {have}")
        if response.status not in {_OK, _PARTIAL}:
            raise CutError(f"found status {response.status}, expected {_OK}; it is asked for again")
        if response.status == _OK:
            have = 0
        with part.open("ab" if have else "wb") as file:
            done = shown = have
            self._show(Download(done=done, of=offer.size))
            async for chunk in response.content.iter_chunked(CHUNK):
                done += len(chunk)
                if done > offer.size:
                    raise snapshot.WrongSnapshotError("bytes", f"{done} or more", offer.size)
                await asyncio.to_thread(_write, file, chunk)
                self._fetched += len(chunk)
                if done - shown >= SHOWN_EVERY:
                    shown = done
                    self._show(Download(done=done, of=offer.size))
        if done < offer.size:
            raise CutError(f"cut after {done} of {offer.size} bytes")

    def _part(self, offer: Offer) -> Path:
        return self._folder / f"{SNAPSHOT}-{offer.sha256.hex()}.part"

    def _clear(self, *, except_for: bytes) -> None:
        kept = f"{SNAPSHOT}-{except_for.hex()}.part"
        for path in self._folder.glob(f"{SNAPSHOT}-*"):
            if path.name != kept:
                path.unlink(missing_ok=True)


def _write(file: BinaryIO, chunk: bytes) -> None:
    """Past the buffer, so that what the part's size says has been written."""
    file.write(chunk)
    file.flush()


async def _prepare(part: Path, whole: Path, offer: Offer) -> None:
    is_unwanted = threading.Event()
    preparing = asyncio.ensure_future(asyncio.to_thread(snapshot.prepare, part, whole, offer, is_unwanted))
    try:
        await asyncio.shield(preparing)
    except asyncio.CancelledError:
        is_unwanted.set()
        await asyncio.wait({preparing})
        preparing.exception()  # looked at, so that nobody calls it forgotten
        raise
