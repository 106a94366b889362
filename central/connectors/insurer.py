"""Reports what was dispensed and what came back to the insurance platform: one worker, one request at a time.

The queue comes before the wire. A request without an answer is unknown. It is resolved by asking the platform for its
serial numbers, and only what the platform does not know is sent again, under the same numbers.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from central.changes import Changes
from central.clock import HospitalTime
from central.connectors import envelope, sale_rows
from central.connectors.envelope import Answer, Institution
from central.connectors.queue import LARGEST_REQUEST, RowState, Sale, SalesQueue
from central.connectors.remote import NoAnswerError, NotTakenError, Remote

QUERY = "3590"
LINGER_S = 0.3
"""Rows that come together leave together."""
ASK_AGAIN_US = 1_000_000
TRIES_ALONE = 8
"""Refusals of the gateway of a row sent alone, after which a person must look."""
_LONGEST_AGAIN_US = 300_000_000


class Insurer:
    def __init__(
        self,
        queue: SalesQueue,
        institution: Institution,
        *,
        url: str,
        time: HospitalTime,
        changes: Changes,
        timeout_s: float = 10.0,
        query: str = QUERY,
    ) -> None:
        self._queue = queue
        self._institution = institution
        self._time = time
        advice = "check url, paasid and token"
        self._remote = Remote("insurer", url=url, changes=changes, timeout_s=timeout_s, advice=advice)
        self._query = query

    @property
    def trouble(self) -> str:
        """Why nothing can be reported at the moment, empty while all is well."""
        return self._remote.trouble

    async def run(self) -> None:
        """Work until cancelled."""
        await self._remote.work(self.round, self._queue.wait_us, linger_s=LINGER_S)

    async def round(self, http: aiohttp.ClientSession) -> bool:
        """Resolve what is unknown, then send what waits. Returns whether there was anything to do.

        Raises NotTakenError or NoAnswerError when the platform cannot be reached, after the rows are safe.
        """
        self._queue.recover()
        if unknown := self._queue.due(RowState.UNKNOWN):
            await self._ask(http, unknown)
            return True
        waiting = self._queue.due(RowState.WAITING)
        if not waiting:
            return False
        # A row that was turned away in company travels alone, so that it cannot hold up the others.
        alone = [sale for sale in waiting if sale.attempts > 1]
        # One request is of sales or of returns.
        together = [sale for sale in waiting if sale.is_return is waiting[0].is_return]
        await self._send(http, alone[:1] or together)
        return True

    async def _send(self, http: aiohttp.ClientSession, sales: list[Sale]) -> None:
        self._queue.settle([sale for sale in sales if sale.is_self_pay], RowState.EXEMPT, tried=False)
        sales = [sale for sale in sales if not sale.is_self_pay]
        rows = {sale.id: self._row(sale) for sale in sales}
        for sale in sales:
            cause = sale_rows.gap(sale, rows[sale.id])
            if cause:
                self._queue.settle([sale], RowState.REFUSED, cause=f"not sent: {cause}", tried=False)
                del rows[sale.id]
        sales = [sale for sale in sales if sale.id in rows]
        if not sales:
            return
        content = {"selinfoDetail": [rows[sale.id] for sale in sales]}
        msgid, request = self._request(sale_rows.infno_of(sales[0]), content)
        self._queue.send(sales, msgid=msgid, request=request)
        try:
            answer = await self._call(http, request)
        except NotTakenError as error:
            self._queue.settle(sales, RowState.WAITING, cause=str(error))
            raise
        except NoAnswerError as error:
            self._queue.settle(sales, RowState.UNKNOWN, cause=str(error), again_after_us=ASK_AGAIN_US)
            return
        await self._settle(http, sales, answer)

    async def _settle(self, http: aiohttp.ClientSession, sales: list[Sale], answer: Answer) -> None:
        if not answer.is_business:
            self._turned_away(sales, answer.cause)
            return
        refused = {
            sale.id: answer.refused[key] for sale in sales if (key := sale_rows.serial_of(sale)) in answer.refused
        }
        rest = [sale for sale in sales if sale.id not in refused]
        if answer.is_taken:
            self._queue.settle(rest, RowState.ACCEPTED)
        elif len(sales) == 1:
            refused[sales[0].id] = refused.get(sales[0].id) or answer.cause
        else:
            self._turned_away(rest, answer.cause)
        await self._settle_refused(http, [sale for sale in sales if sale.id in refused], refused)

    async def _settle_refused(self, http: aiohttp.ClientSession, sales: list[Sale], causes: dict[int, str]) -> None:
        """A row that was sent before may be refused because the platform has it: then it is accepted."""
        known: set[str] = set()
        if again := [sale for sale in sales if sale.attempts]:
            try:
                known = await self._known(http, again)
            except (NotTakenError, NoAnswerError) as error:
                self._queue.settle(again, RowState.UNKNOWN, cause=str(error), again_after_us=ASK_AGAIN_US)
                sales = [sale for sale in sales if not sale.attempts]
        for sale in sales:
            if sale_rows.serial_of(sale) in known:
                self._queue.settle([sale], RowState.ACCEPTED)
            else:
                self._queue.settle([sale], RowState.REFUSED, cause=causes[sale.id])

    def _turned_away(self, sales: Sequence[Sale], cause: str) -> None:
        for sale in sales:
            is_hopeless = len(sales) == 1 and sale.attempts >= TRIES_ALONE
            again_us = min(1_000_000 << min(sale.attempts, 20), _LONGEST_AGAIN_US)
            state = RowState.REFUSED if is_hopeless else RowState.WAITING
            self._queue.settle([sale], state, cause=cause, again_after_us=again_us)

    async def _ask(self, http: aiohttp.ClientSession, sales: list[Sale]) -> None:
        """Raises NotTakenError or NoAnswerError: the rows stay unknown."""
        known = await self._known(http, sales)
        self._queue.settle(
            [sale for sale in sales if sale_rows.serial_of(sale) in known], RowState.ACCEPTED, tried=False
        )
        self._queue.settle(
            [sale for sale in sales if sale_rows.serial_of(sale) not in known],
            RowState.WAITING,
            cause="the platform does not have it: sent again",
            tried=False,
        )

    async def _known(self, http: aiohttp.ClientSession, sales: Sequence[Sale]) -> set[str]:
        content = {"data": [{"fixmedins_bchno": sale_rows.serial_of(sale)} for sale in sales[:LARGEST_REQUEST]]}
        _, request = self._request(self._query, content)
        answer = await self._call(http, request)
        if not answer.is_taken:
            raise NoAnswerError(f"the platform did not answer the question {self._query}: {answer.cause}")
        return envelope.serials_in(answer.rows)

    async def _call(self, http: aiohttp.ClientSession, request: bytes) -> Answer:
        """Raises NotTakenError, NoAnswerError."""
        timestamp = self._time.now_us() // 1_000_000
        headers = envelope.sign(self._institution, timestamp=timestamp, nonce=secrets.token_hex(8))
        headers["Content-Type"] = "application/json; charset=utf-8"
        return await self._remote.post(http, request, envelope.read_answer, headers=headers)

    def _request(self, infno: str, content: dict[str, Any]) -> tuple[str, bytes]:
        now = self._time.local(self._time.now_us())
        msgid = envelope.msgid_of(self._institution, now, self._queue.next_sequence())
        message = envelope.envelope(self._institution, infno=infno, msgid=msgid, now=now, content=content)
        return msgid, msgspec.json.encode(message)

    def _row(self, sale: Sale) -> dict[str, Any] | None:
        return sale_rows.row_of(self._institution, sale, at=self._time.local(sale.wall_us))
