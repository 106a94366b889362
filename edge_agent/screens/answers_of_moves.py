"""What programs are answered about requisitions, transfers, sheets of paper and what a machine has vended."""

import datetime as dt

import msgspec

from edge_agent.screens.language import Language
from edge_agent.store.sheets import KeptSheet
from edge_agent.workflows.transfers import Progress
from edge_agent.workflows.vending import Vended
from sync_protocol.sheets import Sheet


class TransferLineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    product: str
    product_name: str
    kind: str
    asked: int
    codes: tuple[str, ...]
    going: tuple[str, ...]
    lots: tuple[tuple[str, dt.date, int], ...]
    short: int


class TransferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    document: str
    kind: str
    source: str
    target: str
    asked_us: int
    lines: tuple[TransferLineAnswer, ...]


class VendedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    vend: str
    machine: str
    codes: tuple[str, ...]
    without_code: int
    reasons: tuple[str, ...]
    is_repeat: bool


def of_vended(vended: Vended, *, is_repeat: bool) -> VendedAnswer:
    return VendedAnswer(
        vend=vended.vend.id,
        machine=vended.vend.machine,
        codes=vended.codes,
        without_code=vended.without_code,
        reasons=vended.reasons,
        is_repeat=is_repeat,
    )


def of_transfer(progress: Progress, language: Language) -> TransferAnswer:
    transfer = progress.transfer
    return TransferAnswer(
        document=transfer.id,
        kind=transfer.kind,
        source=transfer.source,
        target=transfer.target,
        asked_us=transfer.asked_us,
        lines=tuple(
            TransferLineAnswer(
                product=line.line.product,
                product_name=language.product(line.product) if line.product else line.line.product,
                kind=line.line.kind,
                asked=line.line.quantity,
                codes=line.codes,
                going=line.going,
                lots=tuple((lot.lot, lot.expiry, lot.quantity) for lot in line.lots),
                short=line.short,
            )
            for line in progress.lines
        ),
    )


class SheetAnswer(msgspec.Struct, frozen=True, kw_only=True):
    sheet: str
    symbol: str
    lines: tuple[str, ...]
    """What the symbol of each line says."""
    open: tuple[int, ...]


def of_sheet(sheet: Sheet, still: tuple[int, ...] | None = None) -> SheetAnswer:
    return SheetAnswer(
        sheet=sheet.id,
        symbol=sheet.mark().text,
        lines=tuple(sheet.mark(line).text for line in sheet.lines),
        open=tuple(line.number for line in sheet.lines) if still is None else still,
    )


def of_kept(kept: KeptSheet) -> SheetAnswer:
    return of_sheet(kept.sheet, kept.open)
