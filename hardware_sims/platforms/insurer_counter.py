"""What the insurer keeps and how it judges sales and returns: it knows boxes and quantities, and nothing of sub-codes.

Rules (domain facts: FSI §5): a whole box is with one patient at a time; a split box is reported as often as units leave
it, but never more units than the national list says are in it; what comes back was sold in that visit before, and not
more of it; a batch serial number (``fixmedins_bchno``) names one row for ever.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from hardware_sims.platforms.insurer_fields import count_of, return_fault, sale_fault, trace_codes

SPLIT = "1"


class SaleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted row as the checker needs it. ``is_return``: it takes away from what was sold."""

    serial: str
    """``fixmedins_bchno``."""
    codes: tuple[str, ...]
    quantity: Decimal
    is_split: bool
    drug: str
    document: str
    """``rtal_docno``; of a return ``medins_prod_sel_no``."""
    fields: Mapping[str, object]
    is_return: bool = False

    @property
    def share(self) -> Decimal:
        """What it adds to each of its boxes: units, or the whole box."""
        share = self.quantity if self.is_split else Decimal(1)
        return -share if self.is_return else share


class RowRefused(msgspec.Struct, frozen=True, kw_only=True):
    serial: str
    cause: str
    fields: Mapping[str, object]


class Counter:
    """The sales of one institution. ``contents``: units in a box by ``med_list_codg``, from the national list."""

    def __init__(self, contents: Mapping[str, int]) -> None:
        self._contents = contents
        self._split: dict[str, Decimal] = {}
        self._whole: dict[str, Decimal] = {}
        self._visits: dict[tuple[str, str, bool], Decimal] = {}
        """What each visit has of each box, split or whole."""
        self._returned: dict[str, Decimal] = {}
        """What came back of each sale that was named."""
        self.accepted: dict[str, SaleRow] = {}
        self.refused: list[RowRefused] = []

    def sell(self, row: Mapping[str, object]) -> str:
        """Keep the row and return nothing, or say why not."""
        cause = sale_fault(row) or self._duplicate(row) or self._impossible(row)
        return self._refuse(row, cause) if cause else self._keep(row, is_return=False)

    def take_back(self, row: Mapping[str, object]) -> str:
        """The same for a return."""
        cause = return_fault(row) or self._duplicate(row) or self._never_sold(row)
        return self._refuse(row, cause) if cause else self._keep(row, is_return=True)

    def find(self, serial: str) -> SaleRow | None:
        return self.accepted.get(serial)

    def _refuse(self, row: Mapping[str, object], cause: str) -> str:
        self.refused.append(RowRefused(serial=str(row.get("fixmedins_bchno", "")), cause=cause, fields=row))
        return cause

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
        if len(set(codes)) != len(codes) or any(self._whole.get(code) or self._split.get(code) for code in codes):
            return "drug_trac_codg：重复追溯码"
        if quantity != len(codes):
            return f"sel_retn_cnt：{quantity} 与追溯码个数 {len(codes)} 不符"
        return ""

    def _impossible_split(self, codes: tuple[str, ...], quantity: Decimal, content: int) -> str:
        if len(codes) != 1:
            return f"drugtracinfo：拆零销售应为1个追溯码，收到{len(codes)}个"
        code = codes[0]
        if self._whole.get(code):
            return "drug_trac_codg：重复追溯码（已整盒销售）"
        sold = self._split.get(code, Decimal(0))
        if sold + quantity > content:
            return f"sel_retn_cnt：{code} 已拆零销售{sold}，再售{quantity}超过包装数量{content}"
        return ""

    def _never_sold(self, row: Mapping[str, object]) -> str:
        codes, quantity, is_split = trace_codes(row), count_of(row), row["trdn_flag"] == SPLIT
        if len(set(codes)) != len(codes) or (is_split and len(codes) != 1):
            return f"drugtracinfo：拆零退货应为1个追溯码，整盒不得重复，收到{len(codes)}个"
        if not is_split and quantity != len(codes):
            return f"sel_retn_cnt：{quantity} 与追溯码个数 {len(codes)} 不符"
        share, visit = quantity if is_split else Decimal(1), str(row["mdtrt_sn"])
        for code in codes:
            has = self._visits.get((visit, code, is_split), Decimal(0))
            if not has:
                return f"drug_trac_codg：{code} 在就诊{visit}中没有可退的销售记录"
            if share > has:
                return f"sel_retn_cnt：{code} 在就诊{visit}中已售未退{has}，退货{share}超过销售数量"
        return self._not_of_its_sale(row, codes, quantity)

    def _not_of_its_sale(self, row: Mapping[str, object], codes: tuple[str, ...], quantity: Decimal) -> str:
        """Only where the sale is named."""
        number = str(row.get("medins_prod_sel_no") or "")
        if not number:
            return ""
        sale = self.accepted.get(number)
        if sale is None or sale.is_return or not set(codes) <= set(sale.codes) or sale.drug != row["med_list_codg"]:
            return f"medins_prod_sel_no：{number} 不是该追溯码的销售记录"
        left = sale.quantity - self._returned.get(number, Decimal(0))
        return f"sel_retn_cnt：销售记录{number}未退{left}，退货{quantity}超过销售数量" if quantity > left else ""

    def _keep(self, row: Mapping[str, object], *, is_return: bool) -> str:
        number = "medins_prod_sel_no" if is_return else "rtal_docno"
        kept = SaleRow(
            serial=str(row["fixmedins_bchno"]),
            codes=trace_codes(row),
            quantity=count_of(row),
            is_split=row["trdn_flag"] == SPLIT,
            drug=str(row["med_list_codg"]),
            document=str(row.get(number) or ""),
            fields=row,
            is_return=is_return,
        )
        self.accepted[kept.serial] = kept
        if is_return and kept.document:
            self._returned[kept.document] = self._returned.get(kept.document, Decimal(0)) + kept.quantity
        boxes = self._split if kept.is_split else self._whole
        for code in kept.codes:
            key = (str(row["mdtrt_sn"]), code, kept.is_split)
            self._visits[key] = self._visits.get(key, Decimal(0)) + kept.share
            boxes[code] = boxes.get(code, Decimal(0)) + kept.share
        return ""
