"""The national insurance platform's interface for institutions (FSI): sales (3505A), returns (3506A) and a query.

It answers as real gateways do, awkward ways included: ``output`` as an object or as a JSON string, ``infcode`` -1 with
``err_msg``, a business refusal with ``retRslt`` 0, a list of the rows it refused; and it can take a batch and never
answer, turn a token away, or be slow.
"""

import asyncio
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from random import Random
from typing import Any

import msgspec
from aiohttp import web

from hardware_sims.platforms.insurer_counter import Counter
from hardware_sims.platforms.insurer_fields import ENVELOPE, RETURN, SALE, ZONE, Field, envelope_fault, unknown_fields

SALES, RETURNS, QUERY = "3505A", "3506A", "3590"
HELD_S = 2.0
SLOW_S = 1.0
_SIGNED_FOR_S = 300


class Trouble(StrEnum):
    """What can go wrong with one request of sales or of returns."""

    TIMEOUT_AFTER_COMMIT = "timeout_after_commit"
    UNAUTHORIZED = "unauthorized"
    SLOW = "slow"
    OUTPUT_AS_TEXT = "output_as_text"
    SYSTEM_ERROR = "system_error"


DEMO_TROUBLES = (Trouble.TIMEOUT_AFTER_COMMIT, Trouble.UNAUTHORIZED, Trouble.SLOW, Trouble.OUTPUT_AS_TEXT)


def seeded_troubles(seed: int, troubles: tuple[Trouble, ...] = DEMO_TROUBLES) -> dict[int, Trouble]:
    """Which request of sales or returns (1-based) meets which trouble: each once, among the first ones."""
    random = Random(f"insurer {seed}")
    requests = sorted(random.sample(range(1, len(troubles) + 2), k=len(troubles)))
    return dict(zip(requests, random.sample(troubles, k=len(troubles)), strict=True))


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """The TIF gateway before the platform: without a token it lets everybody in."""

    paasid: str = ""
    token: str = ""

    def lets_in(self, headers: Mapping[str, str], *, now: float) -> bool:
        if not self.token:
            return True
        stamp, nonce = headers.get("x-tif-timestamp", ""), headers.get("x-tif-nonce", "")
        if headers.get("x-tif-paasid") != self.paasid or not stamp.isdigit() or abs(now - int(stamp)) > _SIGNED_FOR_S:
            return False
        signed = hashlib.sha256(f"{stamp}{self.token}{nonce}{stamp}".encode()).hexdigest().upper()
        return headers.get("x-tif-signature") == signed


class Insurer:
    """Serve ``application()`` somewhere; ``counter`` holds what was accepted and refused."""

    def __init__(
        self,
        *,
        institution: str,
        contents: Mapping[str, int],
        troubles: Mapping[int, Trouble] | None = None,
        gateway: Gateway | None = None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(ZONE),
    ) -> None:
        self.counter = Counter(contents)
        self.met: list[Trouble] = []
        """Troubles that requests ran into, in order."""
        self.warnings: list[str] = []
        self._institution = institution
        self._troubles = dict(troubles or {})
        self._gateway = gateway or Gateway()
        self._now = now
        self._seen_msgids: set[str] = set()
        self._requests = 0

    @property
    def has_met_all(self) -> bool:
        return len(self.met) >= len(self._troubles)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_post("/{path:.*}", self._answer)
        return app

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        if not self._gateway.lets_in(http.headers, now=self._now().timestamp()):
            return _unauthorized()
        try:
            request = await http.json()
        except ValueError:
            return self._failed("", "报文不是合法的JSON")
        if not isinstance(request, dict):
            return self._failed("", "报文应为JSON对象")
        return await self._take(http, request)

    async def _take(self, http: web.Request, request: dict[str, Any]) -> web.StreamResponse:
        infno = request.get("infno")
        trouble = self._next_trouble() if infno in {SALES, RETURNS} else None
        if trouble is Trouble.UNAUTHORIZED:
            return _unauthorized()
        if trouble is Trouble.SYSTEM_ERROR:
            return self._failed(str(request.get("msgid", "")), "系统繁忙，请稍后再试")
        fault = envelope_fault(request, institution=self._institution, now=self._now()) or self._repeated(request)
        if fault:
            return self._failed(str(request.get("msgid", "")), fault)
        self._note_unknown(unknown_fields(request, ENVELOPE, "input"))
        output = self._judge(str(infno), request["input"])
        if trouble is Trouble.SLOW:
            await asyncio.sleep(SLOW_S)
        if trouble is Trouble.TIMEOUT_AFTER_COMMIT:
            await asyncio.sleep(HELD_S)
            _hang_up(http)
        if isinstance(output, str):
            return self._failed(str(request["msgid"]), output)
        return self._done(str(request["msgid"]), output, as_text=trouble is Trouble.OUTPUT_AS_TEXT)

    def _next_trouble(self) -> Trouble | None:
        self._requests += 1
        trouble = self._troubles.get(self._requests)
        if trouble is not None:
            self.met.append(trouble)
        return trouble

    def _repeated(self, request: Mapping[str, Any]) -> str:
        msgid = str(request["msgid"])
        if msgid in self._seen_msgids:
            return f"msgid：{msgid} 重复"
        self._seen_msgids.add(msgid)
        return ""

    def _judge(self, infno: str, content: Mapping[str, Any]) -> dict[str, Any] | str:
        if infno == QUERY:
            return self._find(content)
        if infno == SALES:
            return self._take_rows(content, SALE, self.counter.sell)
        if infno == RETURNS:
            return self._take_rows(content, RETURN, self.counter.take_back)
        return f"infno：{infno} 未开通"

    def _take_rows(
        self, content: Mapping[str, Any], fields: tuple[Field, ...], take: Callable[[Mapping[str, object]], str]
    ) -> dict[str, Any] | str:
        node = content.get("selinfoDetail")
        rows = [node] if isinstance(node, dict) else node
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            return "selinfoDetail：应为商品销售（退货）明细列表"
        for row in rows:
            self._note_unknown(unknown_fields(row, fields, "drugtracinfo"))
        refused = [(row, cause) for row in rows if (cause := take(row))]
        errors = [_error_row(row, cause) for row, cause in refused]
        if len(refused) == len(rows):
            return {"result": {"retRslt": "0", "msgRslt": refused[0][1]}, "selinfoErrDetail": errors}
        message = f"{len(refused)}条明细未通过校验" if refused else ""
        return {"result": {"retRslt": "1", "msgRslt": message}} | ({"selinfoErrDetail": errors} if errors else {})

    def _find(self, content: Mapping[str, Any]) -> dict[str, Any] | str:
        node = content.get("data")
        asked = [node] if isinstance(node, dict) else node
        if not isinstance(asked, list) or not asked or not all(isinstance(one, dict) for one in asked):
            return "data：应为含fixmedins_bchno的查询条件"
        serials = [str(one.get("fixmedins_bchno", "")) for one in asked]
        if not all(serials):
            return "fixmedins_bchno：不能为空"
        found = [sale.fields for serial in serials if (sale := self.counter.find(serial))]
        return {"result": {"retRslt": "1", "msgRslt": ""}, "selinfoDetail": found}

    def _note_unknown(self, names: list[str]) -> None:
        self.warnings += [f"{name}：接口中没有这个字段" for name in names]

    def _done(self, msgid: str, output: dict[str, Any], *, as_text: bool) -> web.Response:
        return self._reply(msgid, {"infcode": 0, "err_msg": "", "output": _text(output) if as_text else output})

    def _failed(self, msgid: str, cause: str) -> web.Response:
        return self._reply(msgid, {"infcode": -1, "err_msg": cause, "output": None})

    def _reply(self, msgid: str, content: dict[str, Any]) -> web.Response:
        moment = self._now().strftime("%Y%m%d%H%M%S%f")[:-3]
        envelope = {"inf_refmsgid": msgid, "refmsg_time": moment, "respond_time": moment, "warn_msg": ""}
        return web.json_response(envelope | content, dumps=_text)


def _error_row(row: Mapping[str, Any], cause: str) -> dict[str, Any]:
    names = ("med_list_codg", "fixmedins_hilist_id", "fixmedins_hilist_name", "fixmedins_bchno")
    return {name: row.get(name, "") for name in names} | {"retRslt": "0", "msgRslt": cause}


def _text(content: object) -> str:
    return json.dumps(content, ensure_ascii=False)


def _unauthorized() -> web.Response:
    return web.json_response({"code": "401", "message": "签名验证失败"}, status=401, dumps=_text)


def _hang_up(http: web.Request) -> None:
    if http.transport is not None:
        http.transport.abort()
