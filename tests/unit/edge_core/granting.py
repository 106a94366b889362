"""Rights of an agent whose central is a test: what is granted, and from which moment nothing is."""

from collections.abc import Iterable

from edge_agent.clock import Clock
from edge_agent.rights import Rights
from edge_agent.store.journal import Journal
from edge_agent.store.leased import LeaseChange
from sync_protocol.machines import holding as on
from sync_protocol.messages import Grant

FOR_EVER_US = 10**15


class Hand:
    """Grants and takes away as central would, on the journal that is written down."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self.session = journal.start.session
        self._journal = journal
        self._clock = clock
        granted_by, codes = journal.leased()
        self.holding = on.Holding(self.session, codes, incarnation=granted_by, spoken_to=journal.incarnation)
        self.rights = Rights(self.holding, clock.mono_us)
        self._incarnation = journal.incarnation

    def grant(self, codes: Iterable[str], *, left_us: int = FOR_EVER_US) -> None:
        """From now on the agent may issue these too."""
        now_us = self._clock.mono_us()
        effects = self.holding.handle(on.Welcomed(session=self.session, incarnation=self._incarnation, now_us=now_us))
        holds = next(effect for effect in effects if isinstance(effect, on.SendHolds))
        grant = Grant(
            session=self.session,
            number=holds.number,
            after=holds.number,
            incarnation=self._incarnation,
            codes=tuple(sorted({*holds.codes, *codes})),
            is_whole=True,
            sent_us=now_us,
            left_us=left_us,
        )
        for effect in self.holding.handle(on.Granted(grant=grant, now_us=now_us)):
            if isinstance(effect, on.Keep):
                self._journal.keep_lease(
                    LeaseChange(added=effect.added), incarnation=effect.incarnation, is_whole=effect.is_whole
                )
        self.holding.handle(on.Disconnected())

    def take_away(self) -> None:
        self.holding.handle(on.Fenced())
