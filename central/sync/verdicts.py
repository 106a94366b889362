"""What the ledger says of facts that did not fit, for the agent that recorded them."""

import sqlite3
from collections.abc import Sequence

from central.ledger import statements
from central.ledger.staging import in_rows
from sync_protocol.facts import What
from sync_protocol.items import State
from sync_protocol.lifecycle import Reason, Refusal
from sync_protocol.messages import Verdict

_REASONS = frozenset(str(reason) for reason in Reason)


Span = tuple[bytes, int, int]
"""A session, and the first and the last seq of some of its facts."""


def read_verdicts(connection: sqlite3.Connection, spans: Sequence[Span]) -> dict[bytes, tuple[Verdict, ...]]:
    """Exceptions among these facts, by session. A fact that could not be read has a verdict without refusals."""
    found: dict[bytes, dict[int, list[Refusal]]] = {}
    for session, seq, code, what, reason, state, is_so, expected in in_rows(connection, statements.VERDICTS, spans):
        refusals = found.setdefault(session, {}).setdefault(seq, [])
        if reason in _REASONS:
            refusals.append(
                Refusal(
                    code=code,
                    what=What(what),
                    reason=Reason(reason),
                    state=State(state) if state else None,
                    found=is_so,
                    expected=expected,
                )
            )
    return {
        session: tuple(Verdict(seq=seq, refusals=tuple(refusals)) for seq, refusals in verdicts.items())
        for session, verdicts in found.items()
    }
