"""A line of paper that is being scanned back: what was scanned for it, and what a person reads off it (A22)."""

import msgspec

from edge_agent.store.sheets import KeptSheet
from sync_protocol.documents import Order, Product
from sync_protocol.items import Item, Kind, State
from sync_protocol.sheets import SheetLine


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """``day`` and ``time``: civil, of the hospital. ``order`` or ``ward``: of a blank line.

    ``is_sure``: it was shown what does not fit, and it is written there all the same.
    """

    day: str
    time: str
    quantity: int
    operator: str
    witness: str = ""
    order: str = ""
    ward: str = ""
    is_sure: bool = False


class Scanned:
    """Nothing of it is recorded. ``boxes``: opened ones, of which units went."""

    def __init__(self) -> None:
        self.order = ""
        """What the symbol of the line says: all that is known of it where the sheet was printed elsewhere."""
        self.codes: dict[str, None] = {}
        self.boxes: dict[str, None] = {}
        self.written: Written | None = None
        self.is_doubted = False

    def add(self, code: str, item: Item | None) -> bool:
        """Whether it was not there yet."""
        is_opened = item is not None and item.kind is Kind.BOX and item.state is State.OPENED
        into = self.boxes if is_opened else self.codes
        is_new = code not in into
        into[code] = None
        self.is_doubted = self.is_doubted and not is_new
        return is_new


class OpenLine(msgspec.Struct, frozen=True, kw_only=True):
    """``order_id`` is empty on a blank line; ``order``: as it is known here now, or as it was printed."""

    sheet: KeptSheet
    line: SheetLine
    order_id: str
    order: Order | None
    product: Product | None
    is_open: bool
    """Its order still waits here; True for a blank line."""
    scanned: Scanned
    needs_witness: bool

    @property
    def quantity(self) -> int:
        """What is most likely written there."""
        least = max(1, len(self.scanned.codes))
        if self.scanned.written is not None:
            return max(self.scanned.written.quantity, least)
        is_counted = self.product is not None and self.product.is_split
        return max(self.order.quantity, least) if self.order is not None and is_counted else least
