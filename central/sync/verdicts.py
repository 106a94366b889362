"""What the ledger says of facts that did not fit, for the agent that recorded them."""

import sqlite3

from central.ledger import statements
from sync_protocol.facts import What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason, Refusal
from sync_protocol.messages import Verdict

_REASONS = frozenset(str(reason) for reason in Reason)


def read_verdicts(connection: sqlite3.Connection, session: bytes, first: int, last: int) -> tuple[Verdict, ...]:
    """Exceptions among facts ``first`` to ``last``. A fact that could not be read has a verdict without refusals."""
    verdicts: dict[int, list[Refusal]] = {}
    for seq, code, what, reason, state, found, expected in connection.execute(
        statements.VERDICTS, (session, first, last)
    ):
        refusals = verdicts.setdefault(seq, [])
        if reason in _REASONS:
            refusals.append(
                Refusal(
                    code=code,
                    what=What(what),
                    reason=Reason(reason),
                    state=State(state) if state else None,
                    found=found,
                    expected=expected,
                )
            )
    return tuple(Verdict(seq=seq, refusals=tuple(refusals)) for seq, refusals in verdicts.items())
