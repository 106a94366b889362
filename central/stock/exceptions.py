"""The work list: what did not fit stays open until a person has looked and says so."""

from central.errors import InvalidError, NotFoundError
from central.ledger.write import Ledger

_OPEN = "SELECT closed_us, closed_by FROM exception WHERE id = ?"
_CLOSE = "UPDATE exception SET closed_us = ?, closed_by = ? WHERE id = ?"


class Exceptions:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def close(self, exception_id: int, person: str) -> None:
        """Close an exception in the name of a person; one that is closed stays as it was closed first.

        Raises NotFoundError, InvalidError.
        """
        if not person:
            raise InvalidError("person", "nothing", "the person who looked into it", "sign in")
        row = self._ledger.connection.execute(_OPEN, (exception_id,)).fetchone()
        if row is None:
            raise NotFoundError("id", str(exception_id), "an exception of the work list")
        if row[0] is None:
            now_us = self._ledger.time.now_us()
            self._ledger.write(lambda connection: connection.execute(_CLOSE, (now_us, person, exception_id)))
