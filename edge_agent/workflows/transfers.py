"""The requisitions and transfers of this place, as believed here: what is asked of it, and what is on its way to it."""

import datetime as dt
from collections import Counter

import msgspec

from edge_agent.workflows.bench import Bench
from edge_agent.workflows.verdicts import Refuse, StepReason
from sync_protocol.allocation import Allocation, Free, allocate
from sync_protocol.documents import OPEN_TRANSFERS, Product, Transfer, TransferLine, TransferState
from sync_protocol.facts import MAX_CODES
from sync_protocol.items import Item, State

_UNDER_WAY = (*OPEN_TRANSFERS, TransferState.ISSUED)


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    """So many of a lot should go."""

    lot: str
    expiry: dt.date
    quantity: int


class LineProgress(msgspec.Struct, frozen=True, kw_only=True):
    """``codes``: issued; ``going``: those of them that are on the way."""

    line: TransferLine
    product: Product | None
    codes: tuple[str, ...]
    going: tuple[str, ...]
    lots: tuple[Lot, ...] = ()
    """What should go next, first expiry first; empty where it is not for this place to issue."""
    short: int = 0
    """How many are not here."""

    @property
    def open(self) -> int:
        return max(0, self.line.quantity - len(self.codes))


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    transfer: Transfer
    lines: tuple[LineProgress, ...]

    @property
    def asked(self) -> int:
        return sum(line.line.quantity for line in self.lines)

    @property
    def issued(self) -> int:
        return sum(min(len(line.codes), line.line.quantity) for line in self.lines)

    @property
    def going(self) -> int:
        return sum(len(line.going) for line in self.lines)

    @property
    def arrived(self) -> int:
        return sum(len(line.codes) - len(line.going) for line in self.lines)

    @property
    def is_issued(self) -> bool:
        """Nothing more of it is to go."""
        return self.transfer.is_closed or not any(line.open for line in self.lines)


class Transfers:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def to_issue(self) -> list[Progress]:
        """What other places ask of this one, oldest first."""
        here = self._bench.location
        found = self._bench.stock.transfers(location=here, states=OPEN_TRANSFERS)
        progress = (self.progress(transfer) for transfer in found if transfer.source == here)
        return [each for each in progress if not each.is_issued]

    def to_come(self) -> list[Progress]:
        """What this place has asked for, what is on the way to it first."""
        here = self._bench.location
        found = self._bench.stock.transfers(location=here, states=_UNDER_WAY)
        progress = [self.progress(transfer) for transfer in found if transfer.target == here]
        open_ones = [each for each in progress if each.going or not each.is_issued]
        return sorted(open_ones, key=lambda each: not each.going)

    def find(self, transfer_id: str) -> Transfer | None:
        """The document of that number, if it is of this place."""
        transfer = self._bench.stock.transfer(transfer_id)
        is_ours = transfer is not None and self._bench.location in {transfer.source, transfer.target}
        return transfer if is_ours else None

    def asked_of_here(self, transfer_id: str) -> Transfer:
        """One that this place is to issue, and of which something is still open. Raises Refuse."""
        if not transfer_id:
            raise Refuse(StepReason.NO_TRANSFER_CHOSEN)
        transfer = self.find(transfer_id)
        if transfer is None or transfer.source != self._bench.location or self.progress(transfer).is_issued:
            raise Refuse(StepReason.TRANSFER_GONE, found=transfer_id)
        return transfer

    def progress(self, transfer: Transfer) -> Progress:
        items = self._items(transfer)
        return Progress(transfer=transfer, lines=tuple(self._line(transfer, line, items) for line in transfer.lines))

    def advised(self, transfer: Transfer) -> Progress:
        """The same, with what should go next where this place is to issue it."""
        progress = self.progress(transfer)
        if transfer.source != self._bench.location or transfer.is_closed:
            return progress
        lines = tuple(self._advised(line) if line.open else line for line in progress.lines)
        return msgspec.structs.replace(progress, lines=lines)

    def choice(self, line: TransferLine, quantity: int) -> Allocation:
        """Which of the free items here should go: first expiry first, as few lots as can be."""
        return allocate(quantity, map(Free.of, self._on_hand(line)), today=self._bench.today())

    def _items(self, transfer: Transfer) -> dict[str, Item]:
        """What was issued under it by what central said and by what happened here since, without what came back."""
        stock = self._bench.stock
        going = stock.items_at(transfer.target, states=(State.IN_TRANSIT,), limit=MAX_CODES)
        arrived = stock.own_items_at(transfer.target, states=(State.IN_STOCK,), limit=MAX_CODES)
        items = {item.code: item for item in (*going, *arrived) if item.document == transfer.id}
        items |= stock.items(transfer.codes)
        return {code: item for code, item in items.items() if not _is_back(transfer, item)}

    def _line(self, transfer: Transfer, line: TransferLine, items: dict[str, Item]) -> LineProgress:
        of_line = [item for item in items.values() if (item.product, item.kind) == (line.product, line.kind)]
        return LineProgress(
            line=line,
            product=self._bench.stock.product(line.product),
            codes=tuple(sorted(item.code for item in of_line)),
            going=tuple(sorted(item.code for item in of_line if transfer.has_on_the_way(item))),
        )

    def _advised(self, line: LineProgress) -> LineProgress:
        choice = self.choice(line.line, line.open)
        chosen = self._bench.stock.items(choice.codes)
        lots = Counter((item.expiry, item.lot) for item in chosen.values())
        return msgspec.structs.replace(
            line,
            lots=tuple(Lot(lot=lot, expiry=expiry, quantity=lots[expiry, lot]) for expiry, lot in sorted(lots)),
            short=choice.short,
        )

    def _on_hand(self, line: TransferLine) -> list[Item]:
        here = self._bench.location
        found = self._bench.stock.items_at(
            here, states=(State.IN_STOCK,), product=line.product, kind=line.kind, limit=MAX_CODES
        )
        return [item for item in found if not self._bench.is_recalled(item)]


def _is_back(transfer: Transfer, item: Item) -> bool:
    return item.document == transfer.id and item.location == transfer.source
