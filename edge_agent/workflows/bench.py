"""What every step at a workplace works with: the recorder, what the agent believes, and how the two are used."""

import datetime as dt

import msgspec

from edge_agent.check import Stock
from edge_agent.notify import Notifier
from edge_agent.recorder import Recorder
from edge_agent.workflows.verdicts import Refuse, StepReason
from sync_protocol.codes import Code
from sync_protocol.degraded import Allowance
from sync_protocol.documents import Product
from sync_protocol.facts import Certificate, Fact, How, What
from sync_protocol.items import Item, Kind
from sync_protocol.lifecycle import Reason


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts and by what means."""

    operator: str
    source: str
    witness: str = ""
    emergency: str = ""
    """Why an item is issued without the right to it; empty: it is not (REQ-08)."""
    reason: str = ""
    """Why a step goes another way than by its scan; empty: it does not (A11)."""

    @property
    def is_alone(self) -> bool:
        return self.witness in {"", self.operator}

    def refuse_as_override(self) -> None:
        """No scan, no go: only two people who say why go on without one (A11). Raises Refuse."""
        if self.is_alone:
            raise Refuse(StepReason.TWO_PEOPLE, found=self.witness)
        if not self.reason.strip():
            raise Refuse(StepReason.WHY_MISSING)


class Bench:
    """Recorder, stock and notifier of one workplace."""

    def __init__(self, *, recorder: Recorder, stock: Stock, notifier: Notifier) -> None:
        self.recorder = recorder
        self.stock = stock
        self.notifier = notifier
        self.location = recorder.location

    def today(self) -> dt.date:
        return self.recorder.moment().local_date()

    def fact(
        self,
        what: What,
        codes: tuple[str, ...],
        act: Act,
        *,
        how: How = How.SCAN,
        document: str = "",
        order: str = "",
        product: str = "",
        units: int = 0,
        pouch: str = "",
        certificate: Certificate | None = None,
        location: str = "",
        reason: str = "",
        kind: Kind | None = None,
    ) -> Fact:
        """A fact of this workplace, now. ``location``: where to, if it leaves this place, or which place is counted."""
        return Fact(
            what=what,
            codes=codes,
            at=self.recorder.moment(),
            operator=act.operator,
            witness=act.witness,
            location=location or self.location,
            document=document,
            order=order,
            how=how,
            source=act.source,
            product=product,
            units=units,
            pouch=pouch,
            certificate=certificate,
            reason=reason,
            kind=kind,
        )

    def item(self, code: Code) -> Item:
        """The item that was scanned, agreeing with its own label. Raises Refuse."""
        if code.is_class:
            raise Refuse(StepReason.NAMES_NO_ITEM, found=code.key)
        item = self.stock.item(code.key)
        if item is None:
            raise Refuse(Reason.UNKNOWN_CODE, found=code.key)
        self.agree(code, product=item.product, lot=item.lot, expiry=item.expiry)
        return item

    def item_here(self, code: Code) -> Item:
        """The same, and it is booked at this workplace. Raises Refuse."""
        return self.here(self.item(code))

    def here(self, item: Item) -> Item:
        """The item, if it is booked at this workplace. Raises Refuse."""
        if item.location != self.location:
            raise Refuse(StepReason.ELSEWHERE, found=item.location, expected=self.location)
        return item

    def is_recalled(self, item: Item) -> bool:
        return self.recorder.recalls.in_force.of(item) is not None

    def allowance(self, product: Product) -> Allowance:
        """X09: what the age of the replica leaves of the right to issue a product."""
        return self.recorder.degraded.of(product)

    def refuse_recalled(self, item: Item) -> None:
        """Raises Refuse for an item that may not be used, whatever its order says."""
        recall = self.recorder.recalls.in_force.of(item)
        if recall is not None:
            raise Refuse(Reason.RECALLED, found=f"{recall.id}: {recall.reason}")

    def agree(self, code: Code, *, product: str, lot: str, expiry: dt.date) -> None:
        """Object and record must agree in product, lot and expiry, as far as the label says them. Raises Refuse."""
        labelled = self.stock.product_of(code)
        if labelled is not None and labelled.id != product:
            raise Refuse(Reason.WRONG_PRODUCT, found=labelled.id, expected=product)
        if code.lot is not None and code.lot != lot:
            raise Refuse(StepReason.WRONG_LOT, found=code.lot, expected=lot)
        if code.expiry is not None and code.expiry != expiry:
            raise Refuse(StepReason.WRONG_EXPIRY, found=code.expiry.isoformat(), expected=expiry.isoformat())

    def product(self, product_id: str) -> Product:
        """The catalogue entry. Raises Refuse if the catalogue here lacks it."""
        product = self.stock.product(product_id)
        if product is None:
            raise Refuse(StepReason.UNKNOWN_PRODUCT, found=product_id)
        return product
