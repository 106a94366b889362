"""The national code platform 码上放心 behind the TOP gateway (domain facts: MSFX): packs and bills.

It answers as TOP does: HTTP 200 with ``<method>_response`` or ``error_response``, lists wrapped by the name of their
items, levels that run in two opposite directions. It signs by its own hand, keeps to its limits and can be slow, take
a bill and never answer, hang up, or say that it is busy. The shape of ``query.billstatus`` is not published: this one
follows the rows of the other lists.
"""

import asyncio
import datetime as dt
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from random import Random
from typing import Any

import msgspec
from aiohttp import web

ZONE = dt.timezone(dt.timedelta(hours=8))
FAMILY = "alibaba.alihealth.drugtrace.top.yljg."
SLOW_S, HELD_S = 1.0, 2.0
SMALL, MIDDLE, LARGE = 1, 2, 3
"""``code_pack_level``; ``code_level`` says the opposite."""
UPLOADED, PROCESSED, FAILED = "0", "3", "4"
MOST_CODES = 3_500
_SKEW = dt.timedelta(minutes=10)
_COMMON = ("method", "app_key", "timestamp", "v", "sign_method", "sign")


class Trouble(StrEnum):
    """What can go wrong with one request."""

    TIMEOUT_AFTER_COMMIT = "timeout_after_commit"
    HANG_UP = "hang_up"
    SLOW = "slow"
    LIMITED = "limited"
    SYSTEM_ERROR = "system_error"
    SIMPLIFIED = "simplified"


def seeded_troubles(seed: int, troubles: Sequence[Trouble] = tuple(Trouble)) -> dict[int, Trouble]:
    """Which request (1-based) meets which trouble: each once, among the first ones."""
    random = Random(f"msfx {seed}")
    requests = sorted(random.sample(range(1, len(troubles) + 3), k=len(troubles)))
    return dict(zip(requests, random.sample(list(troubles), k=len(troubles)), strict=True))


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """One coded pack as the manufacturer registered it."""

    code: str
    parent: str = ""
    level: int = SMALL
    lot: str = ""
    made: dt.date | None = None
    expiry: dt.date | None = None
    name: str = ""
    status: str = "A"


class Bill(msgspec.Struct, kw_only=True):
    code: str
    kind: str
    trace_codes: tuple[str, ...]
    fields: Mapping[str, str]
    state: str = UPLOADED


class Refusal(Exception):  # noqa: N818 -- an answer, not a fault
    def __init__(self, code: int, msg: str, sub_code: str = "", sub_msg: str = "") -> None:
        super().__init__(msg)
        self.answer = {"code": code, "msg": msg, "sub_code": sub_code, "sub_msg": sub_msg}


def case(
    code: str, bundles: Mapping[str, Sequence[str]], *, lot: str, expiry: dt.date, made: dt.date, name: str = ""
) -> list[Pack]:
    """A case of bundles of boxes, of one lot."""
    facts: dict[str, Any] = {"lot": lot, "expiry": expiry, "made": made, "name": name}
    packs = [Pack(code=code, level=LARGE, **facts)]
    for bundle, boxes in bundles.items():
        packs.append(Pack(code=bundle, parent=code, level=MIDDLE, **facts))
        packs += [Pack(code=box, parent=bundle, **facts) for box in boxes]
    return packs


class CodePlatform:
    """Serve ``application()`` somewhere; ``bills`` holds what was uploaded."""

    def __init__(
        self,
        *,
        app_key: str,
        secret: str,
        ref_ent_id: str,
        packs: Sequence[Pack] = (),
        suppliers: Mapping[str, str] | None = None,
        troubles: Mapping[int, Trouble] | None = None,
        per_s: int = 20,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(ZONE),
    ) -> None:
        self.bills: dict[str, Bill] = {}
        self.met: list[Trouble] = []
        self.asked: list[str] = []
        """Methods of the requests that were let in, without the family's name."""
        self._packs = {pack.code: pack for pack in packs}
        self._suppliers = dict(suppliers or {})
        self._troubles = dict(troubles or {})
        self._key, self._secret, self._ent = app_key, secret, ref_ent_id
        self._per_s, self._now = per_s, now
        self._times: deque[float] = deque()
        self._requests = 0
        self._methods: Mapping[str, Callable[[Mapping[str, str]], dict[str, Any]]] = {
            "query.relation": self._relation,
            "query.getentinfo": self._enterprise,
            "uploadinoutbill": self._upload,
            "query.billstatus": self._status,
        }

    @property
    def has_met_all(self) -> bool:
        return len(self.met) >= len(self._troubles)

    def register(self, *packs: Pack) -> None:
        """The manufacturer uploads relations."""
        self._packs |= {pack.code: pack for pack in packs}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**20)
        app.router.add_post("/router/rest", self._answer)
        return app

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        params = {name: str(value) for name, value in (await http.post()).items()}
        self._requests += 1
        trouble = self._troubles.get(self._requests)
        if trouble is not None:
            self.met.append(trouble)
        try:
            method = self._let_in(params, trouble)
            if trouble is Trouble.HANG_UP:
                _hang_up(http)
                return web.Response()
            self.asked.append(method)
            content = {f"{(FAMILY + method).replace('.', '_')}_response": self._methods[method](params)}
        except Refusal as refusal:
            content = {"error_response": {**refusal.answer, "request_id": self._request_id()}}
        if trouble is Trouble.SLOW:
            await asyncio.sleep(SLOW_S)
        if trouble is Trouble.TIMEOUT_AFTER_COMMIT:
            await asyncio.sleep(HELD_S)
            _hang_up(http)
        is_simple = trouble is Trouble.SIMPLIFIED or params.get("simplify") == "true"
        return web.json_response(_simplified(content) if is_simple else content)

    def _let_in(self, params: Mapping[str, str], trouble: Trouble | None) -> str:
        """The method, if the request is one of the hospital's. Raises Refusal."""
        missing = next((name for name in _COMMON if not params.get(name)), "")
        if missing:
            raise Refusal(40, f"Missing required arguments:{missing}")
        if params["app_key"] != self._key:
            raise Refusal(29, "Invalid app Key", "isv.appkey-not-exists")
        if sign(params, self._secret) != params["sign"]:
            raise Refusal(25, "Invalid signature", "isv.invalid-signature", "签名错误")
        sent = dt.datetime.strptime(params["timestamp"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZONE)
        if abs(self._now() - sent) > _SKEW:
            raise Refusal(41, "Invalid arguments:timestamp", "isv.invalid-timestamp", "时间戳与平台时间相差超过10分钟")
        method = params["method"].removeprefix(FAMILY)
        if method not in self._methods:
            raise Refusal(22, "Invalid method", "isv.method-not-exists", params["method"])
        self._keep_to_speed(is_over=trouble is Trouble.LIMITED)
        if trouble is Trouble.SYSTEM_ERROR:
            raise Refusal(15, "Remote service error", "isp.service-error", "系统繁忙，请稍后再试")
        caller = params.get("ref_user_id") if method == "uploadinoutbill" else params.get("ref_ent_id")
        if caller != self._ent:
            raise Refusal(50, "Remote service error", "isv.ent-not-exists", "企业唯一标识不存在")
        return method

    def _keep_to_speed(self, *, is_over: bool) -> None:
        now = asyncio.get_running_loop().time()
        while self._times and now - self._times[0] > 1:
            self._times.popleft()
        if is_over or len(self._times) >= self._per_s:
            ban = "This ban will last for 1 seconds"
            raise Refusal(7, "App Call Limited", "accesscontrol.limited-by-api-access-count", ban)
        self._times.append(now)

    def _relation(self, params: Mapping[str, str]) -> dict[str, Any]:
        pack = self._packs.get(params.get("code", ""))
        if pack is None:
            return self._result({"response_success": False, "msg_code": "CODE_NOT_EXIST", "msg_info": "追溯码不存在"})
        below = self._below(pack.code)
        smallest = sum(one.level == SMALL for one in below) or 1
        row = _code_info(pack) | {
            "is_smallest": pack.level == SMALL,
            "box_amount": smallest,
            "box_status": 0,
            "code_relation_list": {"code_info": [_code_info(one) for one in below]},
            "produce_info_list": {"produce_info_dto": [_produced(pack)]},
        }
        return self._result(
            {"response_success": True, "msg_code": "", "msg_info": "", "model_list": {"code_relation_dto": [row]}}
        )

    def _below(self, code: str) -> list[Pack]:
        children = [pack for pack in self._packs.values() if pack.parent == code]
        return [one for child in children for one in (child, *self._below(child.code))]

    def _enterprise(self, params: Mapping[str, str]) -> dict[str, Any]:
        ent_id = self._suppliers.get(params.get("ent_name", ""))
        if ent_id is None:
            return self._result({"response_success": False, "msg_code": "ENT_NOT_EXIST", "msg_info": "企业不存在"})
        return self._result({"response_success": True, "model": {"ref_ent_id": f"R{ent_id}", "ent_id": ent_id}})

    def _upload(self, params: Mapping[str, str]) -> dict[str, Any]:
        needed = ("trace_codes", "bill_code", "bill_time", "bill_type", "from_user_id", "to_user_id", "client_type")
        missing = next((name for name in needed if not params.get(name)), "")
        codes = tuple(params.get("trace_codes", "").split(","))
        if missing or params["client_type"] != "2" or not len(codes) < MOST_CODES:
            return self._said("BILL_DECODE_ERROR", f"单据内容错误：{missing or 'client_type、trace_codes'}")
        if params["bill_code"] in self.bills:
            return self._said("BILL_FILE_NAME_DUPLICATE_UPLOAD", "单据重复上传")
        bill = Bill(code=params["bill_code"], kind=params["bill_type"], trace_codes=codes, fields=dict(params))
        self.bills[bill.code] = bill
        return {
            "request_id": self._request_id(),
            "model": f"F{len(self.bills):08d}",
            "msg_code": "",
            "response_success": True,
        }

    def _status(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Each question finds a bill one step further: it was uploaded, then it is processed or failed."""
        bill = self.bills.get(params.get("bill_code", ""))
        rows = []
        if bill is not None:
            unknown = [code for code in bill.trace_codes if code not in self._packs]
            rows = [
                {"bill_code": bill.code, "deal_status": bill.state, "process_des": f"追溯码不存在：{unknown[0]}"}
                if bill.state == FAILED
                else {"bill_code": bill.code, "deal_status": bill.state, "process_des": ""}
            ]
            bill.state = FAILED if unknown else PROCESSED
        model = {"total": len(rows), "result_list": {"bill_deal_status_dto": rows}}
        return self._result({"response_success": True, "msg_code": "", "model": model})

    def _result(self, result: dict[str, Any]) -> dict[str, Any]:
        return {"request_id": self._request_id(), "result": result}

    def _said(self, code: str, info: str) -> dict[str, Any]:
        return {"request_id": self._request_id(), "response_success": False, "msg_code": code, "msg_info": info}

    def _request_id(self) -> str:
        return f"sim{self._requests:010d}"


def sign(params: Mapping[str, str], secret: str) -> str:
    """What the gateway computes of a request to compare with its ``sign``; empty for a method that it does not know."""
    text = "".join(f"{name}{params[name]}" for name in sorted(params) if name != "sign").encode()
    key = secret.encode()
    match params.get("sign_method"):
        case "md5":
            return hashlib.md5(key + text + key, usedforsecurity=False).hexdigest().upper()
        case "hmac":
            return hmac.new(key, text, "md5").hexdigest().upper()
        case "hmac-sha256":
            return hmac.new(key, text, "sha256").hexdigest().upper()
        case _:
            return ""


def _code_info(pack: Pack) -> dict[str, Any]:
    return {
        "code": pack.code,
        "parent_code": pack.parent,
        "code_level": str(LARGE + SMALL - pack.level),
        "code_pack_level": str(pack.level),
        "status": pack.status,
    }


def _produced(pack: Pack) -> dict[str, Any]:
    dates = {"produce_date": pack.made, "expire_date": pack.expiry}
    return {"batch_no": pack.lot, "pkg_amount": "1"} | {name: day.isoformat() for name, day in dates.items() if day}


def _simplified(value: Any) -> Any:
    """Lists without the name of their items."""
    if isinstance(value, dict):
        (only,) = value.values() if len(value) == 1 else (None,)
        return _simplified(only) if isinstance(only, list) else {name: _simplified(one) for name, one in value.items()}
    return [_simplified(one) for one in value] if isinstance(value, list) else value


def _hang_up(http: web.Request) -> None:
    if http.transport is not None:
        http.transport.abort()
