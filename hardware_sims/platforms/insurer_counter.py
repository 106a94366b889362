"""What the insurer keeps and how it judges a sale: it knows codes of boxes and quantities, and nothing of sub-codes.

Rules (domain facts: FSI §5): a whole box is reported once; a split box as often as units leave it, but never more
units than the national list says are in it; a batch serial number (``fixmedins_bchno``) names one row for ever.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from hardware_sims.platforms.insurer_fields import count_of, sale_fault, trace_codes

SPLIT = "1"


class SaleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted row as the checker needs it."""

    serial: str
    """``fixmedins_bchno``."""
    codes: tuple[str, ...]
    quantity: Decimal
    is_split: bool
    drug: str
    document: str
    """``rtal_docno``."""
    fields: Mapping[str, object]


class RowRefused(msgspec.Struct, frozen=True, kw_only=True):
    serial: str
    cause: str
    fields: Mapping[str, object]


class Counter:
    """The sales of one institution. ``contents``: units in a box by ``med_list_codg``, from the national list."""

    def __init__(self, contents: Mapping[str, int]) -> None:
        self._contents = contents
        self._split: dict[str, Decimal] = {}
        self._whole: set[str] = set()
        self.accepted: dict[str, SaleRow] = {}
        self.refused: list[RowRefused] = []

    def sell(self, row: Mapping[str, object]) -> str:
        """Keep the row and return nothing, or say why not."""
        cause = sale_fault(row) or self._duplicate(row) or self._impossible(row)
        if cause:
            self.refused.append(RowRefused(serial=str(row.get("fixmedins_bchno", "")), cause=cause, fields=row))
            return cause
        self._keep(row)
        return ""

    def find(self, serial: str) -> SaleRow | None:
        return self.accepted.get(serial)

    def _duplicate(self, row: Mapping[str, object]) -> str:
        serial = str(row["fixmedins_bchno"])
        return f"fixmedins_bchno：{serial} 重复上传" if serial in self.accepted else ""

    def _impossible(self, row: Mapping[str, object]) -> str:
        drug = str(row["med_list_codg"])
        content = self._contents.get(drug)
        if content is None:
            return f"med_list_codg：{drug} 不在医保目录中"
        codes, quantity = trace_codes(row), count_of(row)
        if row["trdn_flag"] == SPLIT:
            return self._impossible_split(codes, quantity, content)
        if len(set(codes)) != len(codes) or any(code in self._whole or code in self._split for code in codes):
            return "drug_trac_codg：重复追溯码"
        if quantity != len(codes):
            return f"sel_retn_cnt：{quantity} 与追溯码个数 {len(codes)} 不符"
        return ""

    def _impossible_split(self, codes: tuple[str, ...], quantity: Decimal, content: int) -> str:
        if len(codes) != 1:
            return f"drugtracinfo：拆零销售应为1个追溯码，收到{len(codes)}个"
        code = codes[0]
        if code in self._whole:
            return "drug_trac_codg：重复追溯码（已整盒销售）"
        sold = self._split.get(code, Decimal(0))
        if sold + quantity > content:
            return f"sel_retn_cnt：{code} 已拆零销售{sold}，再售{quantity}超过包装数量{content}"
        return ""

    def _keep(self, row: Mapping[str, object]) -> None:
        sale = SaleRow(
            serial=str(row["fixmedins_bchno"]),
            codes=trace_codes(row),
            quantity=count_of(row),
            is_split=row["trdn_flag"] == SPLIT,
            drug=str(row["med_list_codg"]),
            document=str(row["rtal_docno"]),
            fields=row,
        )
        self.accepted[sale.serial] = sale
        if sale.is_split:
            (code,) = sale.codes
            self._split[code] = self._split.get(code, Decimal(0)) + sale.quantity
        else:
            self._whole.update(sale.codes)
