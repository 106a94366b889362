"""What goes wrong with ledgers: backups that are none, older ledgers that come back, two centrals at a time."""

from bisect import insort
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.simulation.around import Around
from tests.simulation.books import Backup, Way
from tests.simulation.central_node import CentralNode
from tests.simulation.centrals import Centrals
from tests.simulation.clocks import SUMMER_2026_US
from tests.simulation.ledger_watch import LedgerWatch
from tests.simulation.life import Life, Lives
from tests.simulation.network import CENTRAL
from tests.simulation.plan import Decision

_ACTS = {"back_up", "restore_central", "second_central"}
_BAD = 0.85
"""From here on a backup turns out to be no whole ledger when it is verified."""
_FORGOTTEN = 0.6
"""From here on the machine that was replaced comes up again, later, for a while."""


class _Taken(msgspec.Struct, frozen=True):
    """A backup, and what the simulator had seen of the ledger by then."""

    at_us: int
    of: LedgerWatch
    backup: Backup
    life: Life
    is_good: bool


class CentralNemesis:
    """``is_pruned``: agents let go what is in the last backup, so that no older one may come back."""

    name = "nemesis"

    def __init__(self, centrals: Centrals, around: Around, lives: Lives, *, is_pruned: bool) -> None:
        self._centrals = centrals
        self._around = around
        self._lives = lives
        self._is_pruned = is_pruned
        self._verified: list[_Taken] = []
        self._machines = 0
        self._is_over = False

    def knows(self, decision: Decision) -> bool:
        return decision.what in _ACTS

    def do(self, decision: Decision) -> None:
        act: Callable[[Decision], None] = getattr(self, f"_{decision.what}")
        act(decision)

    def on(self, kind: str, arg: Any) -> None:
        if kind == "verified":
            self._verify(arg)
        elif kind == "boot_older":
            self._boot_older(*arg)
        elif kind == "stop":
            arg.retire()

    def heal(self) -> None:
        """Nothing more of it, and a person stops the centrals that are too many."""
        self._is_over = True
        self._centrals.heal()

    def _back_up(self, decision: Decision) -> None:
        """Taken now, verified later."""
        taken = self._take(is_good=decision.more < _BAD)
        self._around.scheduler.after(decision.long_us, self, "verified", taken)

    def _restore_central(self, decision: Decision) -> None:
        """The newest backup comes back, or an older one where nobody has let go of anything."""
        node, backups = self._centrals.main, self._verified
        if not backups:
            return
        last = len(backups) - 1
        taken = backups[last if self._is_pruned else last - int(decision.pick**2 * len(backups))]
        self._centrals.look()
        if node.process is not None:
            node.die(is_power=False, down_us=decision.long_us)
        way = list(Way)[int(decision.more * len(Way))]
        self._around.scheduler.note(f"{node.name} is put back to {taken.life.position} facts: {way}")
        # One that never started with the ledger that was put back there is no older central: it would begin the latest
        # life of all, and whoever means the other machine has to put that one back once more.
        is_forgotten = decision.pick > _FORGOTTEN and way is Way.MOVED and node.has_begun
        twin = node.books.twin(self._folder()) if is_forgotten else None
        node.books.put_back(taken.backup, way)
        node.has_begun = False
        left = node.watch.put_back(taken.life)
        if twin is not None:
            older = LedgerWatch(twin, self._around.truth, self._lives, left.image())
            older.is_older = True
            self._around.scheduler.after(2 * decision.long_us, self, "boot_older", (older, decision.long_us))

    def _second_central(self, decision: Decision) -> None:
        """A copy of the ledger takes over on another machine, and nobody stops the first one for a while."""
        older = self._centrals.main
        if older.process is None:
            return
        taken = self._take(is_good=True)
        older.watch.is_older = True
        books = older.books.another(taken.backup, self._folder())
        watch = LedgerWatch(books, self._around.truth, self._lives)
        watch.put_back(taken.life)
        self._start(watch, is_main=True)
        self._around.scheduler.after(decision.long_us, self, "stop", older)

    def _boot_older(self, watch: LedgerWatch, long_us: int) -> None:
        """The machine that was replaced comes up again."""
        if not self._is_over:
            older = self._start(watch, is_main=False)
            self._around.scheduler.after(long_us, self, "stop", older)

    def _start(self, watch: LedgerWatch, *, is_main: bool) -> CentralNode:
        node = CentralNode(f"{CENTRAL}-{len(self._centrals.all)}", watch, self._around)
        self._around.network.attach(node, is_central=True)
        self._centrals.add(node, is_main=is_main)
        self._around.scheduler.after(0, node, "boot")
        return node

    def _take(self, *, is_good: bool) -> _Taken:
        self._centrals.look()
        watch = self._centrals.main.watch
        backup = watch.books.back_up(SUMMER_2026_US + self._around.scheduler.now_us)
        return _Taken(self._around.scheduler.now_us, watch, backup, watch.life.image(), is_good)

    def _verify(self, taken: _Taken) -> None:
        if self._is_over or taken.of is not self._centrals.main.watch or not taken.is_good:
            return
        insort(self._verified, taken, key=lambda one: one.at_us)  # an older one may have taken longer to verify
        safe = self._around.truth.safe
        for session, through in taken.backup.held.items():
            safe[session] = max(through, safe.get(session, 0))
        taken.of.books.tell(taken.backup)

    def _folder(self) -> Path:
        self._machines += 1
        return self._around.folder / f"{CENTRAL}-machine-{self._machines}"
