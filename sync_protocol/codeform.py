"""What a code is once it is read: its canonical key, its form and what its data says."""

import datetime as dt
from enum import StrEnum

import msgspec


class Entry(StrEnum):
    """How a reading came in. People type blanks and full-width digits; a scanner that sends them is set up wrongly."""

    SCANNER = "scanner"
    KEYBOARD = "keyboard"


class CodeForm(StrEnum):
    TRACE20 = "trace20"
    GS1 = "gs1"
    SUB_CODE = "sub_code"
    PIECE = "piece"
    EPC_SGTIN = "epc_sgtin"
    EPC_GIAI = "epc_giai"
    EPC_GID = "epc_gid"
    HIBC = "hibc"
    IDCODE = "idcode"


class CodeWarning(StrEnum):
    UNVERIFIED_ISSUER = "unverified_issuer"
    GS_MAYBE_LOST = "gs_maybe_lost"


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """One code. ``key`` is its identity in every store: equal keys are one item, however it was read."""

    key: str
    form: CodeForm
    drug_id: str | None = None
    gtin: str | None = None
    di: str | None = None
    """Device identifier of a HIBC or MA code: the product without lot, dates and serial."""
    serial: str | None = None
    lot: str | None = None
    expiry: dt.date | None = None
    made: dt.date | None = None
    count: int | None = None
    issuer_verified: bool = True
    """False: 20 digits of a platform other than the national one; only its own platform can tell whether it is real."""
    warnings: tuple[CodeWarning, ...] = ()

    @property
    def is_class(self) -> bool:
        """Whether the code names a product or a lot and not one item."""
        return self.serial is None and self.form in _SERIALISED


_SERIALISED = frozenset({CodeForm.GS1, CodeForm.HIBC, CodeForm.IDCODE})
_SHOWN_LENGTH = 48


def shown(text: str) -> str:
    """Text as printable ASCII in quotes, cut to a length that fits a screen."""
    cut = text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."
    return ascii(cut)
