"""The recalls that this agent holds: on the disk of the journal, in force before the first check (REQ-07)."""

import structlog

from edge_agent.store import sqlite
from edge_agent.store.journal import Journal
from sync_protocol.errors import WireError
from sync_protocol.recalls import InForce, Recall, RecallSet, SignedRecalls, lacks, read_recalls

_READ = "SELECT version, body, signature FROM recall_set ORDER BY version DESC"
_KEEP = "INSERT OR REPLACE INTO recall_set(version, body, signature) VALUES (?, ?, ?)"
_DROP = "DELETE FROM recall_set WHERE version = ?"

_log: structlog.stdlib.BoundLogger = structlog.get_logger("edge_agent.recalls")


class HeldRecalls:
    """What was verified when it came stays in force, whatever becomes of keys, network and central."""

    def __init__(self, journal: Journal) -> None:
        """Raises StoreError, or JournalCorruptError for a set that cannot be read."""
        self._journal = journal
        self._sets: list[tuple[SignedRecalls, RecallSet]] = []
        for version, body, signature in journal.query(_READ):
            signed = SignedRecalls(version=version, body=body, signature=signature)
            try:
                self._sets.append((signed, read_recalls(signed)))
            except WireError as error:
                raise sqlite.corrupt(journal.path, f"recalls: {error}") from error
        self.in_force = InForce(*(recalls for _, recalls in self._sets))

    @property
    def version(self) -> int:
        """Of the newest set; 0 if none was ever issued."""
        return self._sets[0][0].version if self._sets else 0

    @property
    def signed(self) -> tuple[SignedRecalls, ...]:
        """The sets held, the newest first. Older ones are those that say something which the newest does not know."""
        return tuple(signed for signed, _ in self._sets)

    @property
    def active(self) -> tuple[Recall, ...]:
        return self.in_force.recalls

    def keep(self, signed: SignedRecalls, recalls: RecallSet) -> None:
        """Put a verified set in force, then on the disk. Raises StoreError: then it is in force, and not confirmed.

        A recall is never removed from a set, only lifted. A newer set without one that is held here is of a central
        that was restored: what it does not know stays in force until it does.
        """
        older = [held for held in self._sets if held[0].version != signed.version]
        kept = [held for held in older if lacks(recalls, held[1])]
        dropped = [(held[0].version,) for held in older if held not in kept]
        self._sets = sorted([(signed, recalls), *kept], key=lambda held: -held[0].version)
        self.in_force = InForce(*(each for _, each in self._sets))
        if kept:
            _log.warning("recalls_unknown_to_central", version=signed.version, older=[held[0].version for held in kept])
        self._journal.write(_KEEP, [(signed.version, signed.body, signed.signature)])
        if dropped:
            self._journal.write(_DROP, dropped)
