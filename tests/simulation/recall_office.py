"""The shipped recalls of central, but for what they do to its stock: signed, numbered, kept, given back and merged."""

import hashlib

import msgspec

from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock import recall_rows
from central.stock.recall_key import RecallKey
from central.stock.recall_rows import Row
from central.stock.recalls import Recalls
from sync_protocol.recalls import SignedRecalls, read_recalls
from tests.simulation.truth import Truth

_SECRET = hashlib.sha256(b"the recall key of the simulation").digest()
PUBLIC = RecallKey(_SECRET).public


class NotedKey(RecallKey):
    """What is signed with it is what the simulator takes for said."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(_SECRET)
        self._truth = truth

    def sign(self, version: int, body: bytes) -> SignedRecalls:
        signed = super().sign(version, body)
        self._truth.recall_sets[version] = read_recalls(signed)
        return signed


class RecallOffice(Recalls):
    """Who may recall, and what is frozen, is asked elsewhere."""

    def __init__(self, ledger: Ledger, truth: Truth) -> None:
        super().__init__(ledger, NotedKey(truth))

    def say(self, wanted: Row) -> None:
        """Issue it."""
        self._word(wanted)

    def unsay(self, recall_id: str) -> None:
        """Lift it."""
        for row in self._rows(recall_rows.ALL):
            if row.id == recall_id and row.is_active:
                self._word(msgspec.structs.replace(row, is_active=False))

    def active(self) -> list[str]:
        return [row.id for row in self._rows(recall_rows.ALL) if row.is_active]

    def _word(self, row: Row) -> None:
        version = self._next_version()
        said = msgspec.structs.replace(row, version=version)
        self._commit(lambda transaction: self._change(transaction, version, said))

    def _bring_in_line(self, transaction: Transaction, row: Row) -> None:
        recall_rows.settle(transaction, row.id)
