"""The products of the simulated hospital: real-looking names, invented codes."""

import datetime as dt
from binascii import crc_hqx
from enum import StrEnum
from random import Random

import msgspec

SITE = 17
_PIECE_VERSION, _CONSUMABLE, _CRC_START = 1, 2, 0xFFFF
_SERIAL_SIGNS = "ABCDEFGHJKLMNPRSTUVWXYZ23456789"


class Symbol(StrEnum):
    """What is printed on the box: the national 20 digits, or GS1 data of an imported drug."""

    NATIONAL = "national"
    GS1 = "gs1"
    TAG = "tag"


class Role(StrEnum):
    """How the morning uses a product."""

    STATION = "station"
    LATE = "late"
    PACKAGER = "packager"
    WHOLE = "whole"
    CABINET = "cabinet"


class Good(msgspec.Struct, frozen=True, kw_only=True):
    """One product, with the fields of its catalogue entry and of its label."""

    id: str
    name: str
    name_en: str
    spec: str
    units: int
    unit_name: str
    role: Role
    symbol: Symbol
    price: str
    maker: str
    number: int

    @property
    def drug_id(self) -> str:
        return f"81{self.number:05d}"

    @property
    def gtin(self) -> str:
        return with_check_digit(f"0690{self.number:05d}0001")

    @property
    def insurance_code(self) -> str:
        return f"X{self.number:05d}B001010{self.number:06d}"

    @property
    def is_split(self) -> bool:
        return self.units > 1

    def entry(self) -> dict[str, object]:
        """The catalogue entry as the hospital system sends it."""
        is_piece = self.role is Role.CABINET
        return {
            "id": self.id,
            "name": self.name,
            "name_en": self.name_en,
            "spec": self.spec,
            "kind": "piece" if is_piece else "box",
            "units": self.units,
            "unit_name": self.unit_name,
            "route": self.role.value if self.role in {Role.PACKAGER, Role.CABINET} else "station",
            "is_controlled": False,
            "is_prescription": True,
            "drug_ids": [self.drug_id] if self.symbol is Symbol.NATIONAL else [],
            "gtins": [self.gtin] if self.symbol is Symbol.GS1 else [],
            "insurance_code": "" if is_piece else self.insurance_code,
            "hospital_code": f"YP{self.number:06d}",
            "box_price": self.price,
            "maker": self.maker,
        }


def _good(
    number: int, role: Role, symbol: Symbol, names: tuple[str, str, str], pack: tuple[int, str, str, str]
) -> Good:
    name, name_en, spec = names
    units, unit_name, price, maker = pack
    prefix = "HC" if role is Role.CABINET else "YP"
    return Good(
        id=f"{prefix}-{number:04d}",
        name=name,
        name_en=name_en,
        spec=spec,
        units=units,
        unit_name=unit_name,
        role=role,
        symbol=symbol,
        price=price,
        maker=maker,
        number=number,
    )


_N, _G, _T = Symbol.NATIONAL, Symbol.GS1, Symbol.TAG
CATALOGUE = (
    _good(
        101,
        Role.STATION,
        _N,
        ("注射用头孢曲松钠", "Ceftriaxone for injection", "1.0g×10瓶"),
        (10, "瓶", "128.50", "华北制药"),
    ),
    _good(
        102,
        Role.STATION,
        _N,
        ("地塞米松磷酸钠注射液", "Dexamethasone injection", "1ml:5mg×10支"),
        (10, "支", "9.80", "天津金耀药业"),
    ),
    _good(
        103,
        Role.STATION,
        _N,
        ("呋塞米注射液", "Furosemide injection", "2ml:20mg×10支"),
        (10, "支", "12.60", "上海禾丰制药"),
    ),
    _good(
        104,
        Role.STATION,
        _G,
        ("盐酸氨溴索注射液", "Ambroxol injection", "2ml:15mg×6支"),
        (6, "支", "58.20", "勃林格殷格翰"),
    ),
    _good(
        105,
        Role.STATION,
        _N,
        ("氯化钾注射液", "Potassium chloride injection", "10ml:1g×5支"),
        (5, "支", "4.75", "中国大冢制药"),
    ),
    _good(
        106,
        Role.LATE,
        _N,
        ("盐酸多巴胺注射液", "Dopamine injection", "2ml:20mg×10支"),
        (10, "支", "36.00", "上海禾丰制药"),
    ),
    _good(
        107,
        Role.LATE,
        _N,
        ("重酒石酸去甲肾上腺素注射液", "Norepinephrine injection", "1ml:2mg×10支"),
        (10, "支", "219.00", "远大医药"),
    ),
    _good(
        108,
        Role.LATE,
        _N,
        ("盐酸肾上腺素注射液", "Epinephrine injection", "1ml:1mg×10支"),
        (10, "支", "45.50", "远大医药"),
    ),
    _good(
        201,
        Role.PACKAGER,
        _N,
        ("阿司匹林肠溶片", "Aspirin enteric-coated tablets", "100mg×30片"),
        (30, "片", "13.86", "拜耳"),
    ),
    _good(
        202,
        Role.PACKAGER,
        _G,
        ("硝苯地平控释片", "Nifedipine controlled-release tablets", "30mg×7片"),
        (7, "片", "25.90", "拜耳"),
    ),
    _good(
        203,
        Role.PACKAGER,
        _G,
        ("阿托伐他汀钙片", "Atorvastatin calcium tablets", "20mg×7片"),
        (7, "片", "37.24", "辉瑞"),
    ),
    _good(
        204,
        Role.PACKAGER,
        _N,
        ("盐酸二甲双胍片", "Metformin hydrochloride tablets", "0.5g×20片"),
        (20, "片", "19.60", "中美上海施贵宝"),
    ),
    _good(
        301,
        Role.WHOLE,
        _G,
        ("甘精胰岛素注射液", "Insulin glargine injection", "3ml:300单位×1支"),
        (1, "支", "132.13", "赛诺菲"),
    ),
    _good(
        302,
        Role.WHOLE,
        _G,
        ("沙美特罗替卡松吸入粉雾剂", "Salmeterol and fluticasone powder", "50μg/250μg×60吸"),
        (1, "盒", "187.50", "葛兰素史克"),
    ),
    _good(303, Role.WHOLE, _N, ("人血白蛋白", "Human albumin", "20% 50ml:10g×1瓶"), (1, "瓶", "420.00", "华兰生物")),
    _good(
        304,
        Role.WHOLE,
        _N,
        ("左甲状腺素钠片", "Levothyroxine sodium tablets", "50μg×100片"),
        (1, "盒", "24.15", "默克"),
    ),
    _good(
        501,
        Role.CABINET,
        _T,
        ("药物洗脱冠脉支架系统", "Drug-eluting coronary stent", "3.0×18mm"),
        (1, "套", "798.00", "上海微创医疗"),
    ),
    _good(
        502,
        Role.CABINET,
        _T,
        ("PTCA球囊扩张导管", "PTCA balloon catheter", "2.5×15mm"),
        (1, "根", "286.00", "乐普医疗"),
    ),
    _good(
        503,
        Role.CABINET,
        _T,
        ("冠状动脉指引导管", "Coronary guiding catheter", "6F JR4.0"),
        (1, "根", "650.00", "美敦力"),
    ),
    _good(
        504, Role.CABINET, _T, ("造影导丝", "Angiographic guide wire", "0.035in×150cm"), (1, "根", "120.00", "泰尔茂")
    ),
    _good(505, Role.CABINET, _T, ("血管鞘组", "Introducer sheath set", "6F×11cm"), (1, "套", "98.00", "泰尔茂")),
)
BY_ID = {good.id: good for good in CATALOGUE}


def of_role(role: Role) -> tuple[Good, ...]:
    return tuple(good for good in CATALOGUE if good.role is role)


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """A package's code as the hospital writes it (``code``), and as a scanner sends it (``symbol``)."""

    code: str
    symbol: bytes


def national_label(good: Good, random: Random) -> Label:
    code = f"{good.drug_id}{random.randrange(10**13):013d}"
    return Label(code=code, symbol=code.encode())


def gs1_label(good: Good, lot: str, expiry: dt.date, random: Random) -> Label:
    """(01) GTIN (17) expiry (10) lot (21) serial; the serial stands behind the separator that ends the lot."""
    serial = "".join(random.choices(_SERIAL_SIGNS, k=10))
    symbol = f"01{good.gtin}17{expiry:%y%m%d}10{lot}\x1d21{serial}"
    return Label(code=f"01{good.gtin}21{serial}", symbol=symbol.encode())


def piece_epc(serial: int) -> str:
    """EPC of a piece's tag in the hospital's own layout, 24 hex digits."""
    content = bytes([_PIECE_VERSION]) + SITE.to_bytes(2, "big") + bytes([_CONSUMABLE]) + serial.to_bytes(6, "big")
    return (content + crc_hqx(content, _CRC_START).to_bytes(2, "big")).hex().upper()


def with_check_digit(digits: str) -> str:
    """Thirteen digits become a GTIN-14: weights 3, 1, 3 ... from the right."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return digits + str(-total % 10)
