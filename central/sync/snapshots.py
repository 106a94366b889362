"""Snapshots of the replica: made when an agent is far behind, kept while fresh, handed out against a ticket (REQ-06).

While one is being made agents are answered by deltas as ever. A ticket goes to one agent over its own topic, is good
for one request of one file, and lives in memory only: after a restart of central the agent pulls and gets another.
"""

import asyncio
import contextlib
import hashlib
import pathlib
import secrets
import sqlite3
import threading
from collections import OrderedDict

import msgspec
import structlog

from central.ledger import snapshot
from central.ledger.changed import lacks
from central.ledger.snapshot import Snapshot
from central.ledger.write import Ledger
from sync_protocol import replica_format
from sync_protocol.messages import Offer, Pull

FOLDER = "snapshots"
PATH = "/api/v1/snapshots"
"""Where the site serves them."""
TICKET_S = 300
MOST_TICKETS = 10_000
KEPT = 2
"""The newest, and the one before for those who have most of it."""
REST_US = 60_000_000
"""After one that could not be made."""
_log = structlog.get_logger("central.snapshots")


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """``rows``: an agent that lacks more, about, is offered one; 0: none is. ``age_s``: for how long one is offered."""

    rows: int = 50_000
    age_s: float = 3600.0


class _Ticket(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str
    until_us: int


class Snapshots:
    """``trouble``: why the last one could not be made."""

    def __init__(self, ledger: Ledger, folder: pathlib.Path, policy: Policy) -> None:
        self.trouble = ""
        self._ledger = ledger
        self._folder = folder / FOLDER
        self._policy = policy
        self._tickets: OrderedDict[bytes, _Ticket] = OrderedDict()
        self._is_wanted = asyncio.Event()
        self._not_before_us = 0
        self._kept: list[Snapshot] = []
        """The newest first."""
        with contextlib.suppress(OSError):  # said when one is wanted
            self._folder.mkdir(parents=True, exist_ok=True)
            self._kept = _read(self._folder)

    def offer(self, pull: Pull) -> Offer | None:
        """What to answer in the place of deltas; None: deltas, also while a snapshot is being made."""
        if pull.takes != replica_format.VERSION or not self._is_far(pull.after):
            return None
        ours = [one for one in self._kept if one.incarnation == self._ledger.incarnation and one.version > pull.after]
        fresh = [one for one in ours if self._is_fresh(one)]
        begun = [one for one in ours if bytes.fromhex(one.sha256) == pull.part]
        chosen = next(iter(begun or fresh), None)
        if chosen is None or not (self._folder / chosen.file).exists():
            if self._now_us() >= self._not_before_us:
                self._is_wanted.set()
            return None
        return Offer(
            path=f"{PATH}/{chosen.file}",
            sha256=bytes.fromhex(chosen.sha256),
            size=chosen.size,
            raw_size=chosen.raw_size,
            version=chosen.version,
            incarnation=chosen.incarnation,
            takes=replica_format.VERSION,
            ticket=self._issue(chosen),
            for_s=TICKET_S,
        )

    def redeem(self, ticket: str, file: str) -> pathlib.Path | None:
        """The file that the ticket is for; None: it is for none, or was used before."""
        found = self._tickets.pop(_digest(ticket), None)
        if found is None or found.until_us < self._now_us() or file != f"{found.sha256}{snapshot.SUFFIX}":
            return None
        path = self._folder / file
        return path if path.exists() else None

    async def run(self) -> None:
        """Make what is wanted, until cancelled."""
        while True:
            await self._is_wanted.wait()
            await self._make()
            self._is_wanted.clear()

    async def _make(self) -> None:
        is_stopped = threading.Event()
        arguments = {"now_us": self._now_us(), "is_stopped": is_stopped}
        making = asyncio.ensure_future(asyncio.to_thread(self._make_and_keep, **arguments))  # type: ignore[arg-type]
        try:
            self._kept = await asyncio.shield(making)
            self.trouble = ""
            newest = self._kept[0]
            _log.info("snapshot made", version=newest.version, bytes=newest.size, raw=newest.raw_size)
        except (OSError, sqlite3.Error) as error:
            self.trouble = f"{self._folder}: {error}"
            self._not_before_us = self._now_us() + REST_US
            _log.warning("snapshot not made, agents copy by deltas", cause=self.trouble)
        except asyncio.CancelledError:
            is_stopped.set()
            await asyncio.wait({making})
            making.exception()  # looked at, so that nobody calls it forgotten
            raise

    def _make_and_keep(self, *, now_us: int, is_stopped: threading.Event) -> list[Snapshot]:
        self._folder.mkdir(parents=True, exist_ok=True)
        made = snapshot.make(self._ledger.path, self._folder, now_us=now_us, is_stopped=is_stopped)
        kept = [made, *(one for one in self._kept if one.incarnation == made.incarnation and one != made)][:KEPT]
        fresh = self._folder / "kept.new"
        fresh.write_bytes(msgspec.json.encode(kept))
        fresh.replace(self._folder / "kept.json")
        for path in self._folder.glob(f"*{snapshot.SUFFIX}"):
            if path.name not in {one.file for one in kept}:
                path.unlink()  # whoever reads it has it open
        return kept

    def _is_far(self, after: int) -> bool:
        return self._policy.rows > 0 and lacks(self._ledger.connection, after, self._policy.rows)

    def _is_fresh(self, one: Snapshot) -> bool:
        """Young enough, and less behind than what a snapshot is for."""
        return self._now_us() - one.made_us <= self._policy.age_s * 1e6 and not self._is_far(one.version)

    def _issue(self, one: Snapshot) -> str:
        ticket = secrets.token_urlsafe(32)
        self._tickets[_digest(ticket)] = _Ticket(sha256=one.sha256, until_us=self._now_us() + TICKET_S * 1_000_000)
        while len(self._tickets) > MOST_TICKETS:
            self._tickets.popitem(last=False)
        return ticket

    def _now_us(self) -> int:
        return self._ledger.time.now_us()


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


def _read(folder: pathlib.Path) -> list[Snapshot]:
    """What was made before this start; a file that is not whole fails at the agent, which tells by its hash."""
    try:
        kept = msgspec.json.decode((folder / "kept.json").read_bytes(), type=list[Snapshot])
    except (OSError, msgspec.MsgspecError):
        return []
    return [one for one in kept if (folder / one.file).exists() and (folder / one.file).stat().st_size == one.size]
