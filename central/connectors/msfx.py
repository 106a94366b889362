"""Asks the code platform for the packs of each note and reports receipts to it: one worker, one request at a time.

Relations are asked for when a note is announced, so that a workplace has them before the goods are at its door, with or
without a network then. An upload without an answer is unknown, and resolved by asking for the bill.
"""

import asyncio
import datetime as dt

import aiohttp

from central.changes import Changes
from central.clock import HospitalTime
from central.connectors import top
from central.connectors.platform_queue import PlatformQueue, Task, TaskKind, TaskState
from central.connectors.remote import NoAnswerError, NotTakenError, Remote
from central.connectors.top import Answer, BillState, Caller, PackInfo
from central.stock.packs import Packs

PER_S = 10.0
ASK_AGAIN_US = 1_000_000
LONGEST_AGAIN_US = 300_000_000
HIGHEST = 8
"""Levels of packs; above that a chain of parents is a mistake."""
_CHINA = dt.timezone(dt.timedelta(hours=8))


class CodePlatform:
    def __init__(
        self,
        queue: PlatformQueue,
        packs: Packs,
        caller: Caller,
        *,
        url: str,
        time: HospitalTime,
        changes: Changes,
        timeout_s: float = 10.0,
        per_s: float = PER_S,
    ) -> None:
        self._queue = queue
        self._packs = packs
        self._caller = caller
        self._url = url
        self._time = time
        advice = "check [msfx] url"
        self._remote = Remote("code platform", url=url, changes=changes, timeout_s=timeout_s, advice=advice)
        self._rest_s = 1 / per_s
        self._free_at = 0.0
        self._suppliers: dict[str, str] = {}

    @property
    def trouble(self) -> str:
        """Why the platform can be asked nothing at the moment, empty while all is well."""
        return self._remote.trouble

    async def run(self) -> None:
        """Work until cancelled."""
        await self._remote.work(self.round, self._queue.wait_us)

    async def round(self, http: aiohttp.ClientSession) -> bool:
        """Do what is first to do; whether there was anything. Raises NotTakenError or NoAnswerError, with all safe."""
        self._queue.recover()
        for state in (TaskState.UNKNOWN, TaskState.SENT):
            if task := self._queue.due(TaskKind.RECEIPT, state):
                await self._ask(http, task)
                return True
        if task := self._queue.due(TaskKind.RELATION, TaskState.WAITING):
            await self._relate(http, task)
            return True
        if task := self._queue.due(TaskKind.RECEIPT, TaskState.WAITING):
            await self._report(http, task)
            return True
        return False

    async def _relate(self, http: aiohttp.ClientSession, task: Task) -> None:
        note = self._packs.note(task.subject)
        codes = note.codes if note is not None else ()
        while unknown := self._queue.not_kept(codes):
            self._queue.keep(await self._tree(http, unknown[0]))
        found = self._packs.complete(task.subject)
        cause = "" if found else "the platform has no outer pack of these boxes"
        self._queue.settle(task, TaskState.DONE if found else TaskState.REFUSED, cause=cause)

    async def _tree(self, http: aiohttp.ClientSession, box: str) -> list[PackInfo]:
        """All packs that share the outermost pack of the box; the box alone if it has none or is not known."""
        packs = await self._relation(http, box)
        for _ in range(HIGHEST):
            parent = packs[0].parent if packs else ""
            above = await self._relation(http, parent) if parent else []
            if not above:
                break
            packs = above
        known = {pack.code: pack for pack in packs if pack.code}
        return list(known.values()) if box in known else [PackInfo(code=box), *known.values()]

    async def _relation(self, http: aiohttp.ClientSession, code: str) -> list[PackInfo]:
        ent = self._caller.ref_ent_id
        content = {"ref_ent_id": ent, "des_ref_ent_id": ent, "code": code}
        return top.read_relation(await self._call(http, "query.relation", content))

    async def _report(self, http: aiohttp.ClientSession, task: Task) -> None:
        fact, note = self._queue.fact_of(task), self._packs.note(task.document)
        supplier = await self._supplier(http, note.supplier) if note is not None else ""
        if note is None or not supplier:
            name = note.supplier if note is not None else task.document
            self._queue.settle(task, TaskState.REFUSED, cause=f"not sent: the platform does not know {name}")
            return
        content = {
            "trace_codes": ",".join(fact.codes),
            "bill_code": task.subject,
            "bill_time": self._local(fact.at.wall_us),
            "bill_type": top.RECEIVED,
            "physic_type": "3",
            "qu_receivable": str(len(fact.codes)),
            "ref_user_id": self._caller.ref_ent_id,
            "from_user_id": supplier,
            "to_user_id": self._caller.ent_id,
            "oper_ic_code": self._caller.app_key,
            "oper_ic_name": fact.operator,
            "from_bill_code": note.id,
            "client_type": "2",
        }
        self._queue.settle(task, TaskState.SENDING)
        try:
            answer = await self._call(http, "uploadinoutbill", content)
        except NotTakenError as error:
            self._queue.settle(task, TaskState.WAITING, cause=str(error))
            raise
        except NoAnswerError as error:
            self._queue.settle(task, TaskState.UNKNOWN, cause=str(error), again_after_us=ASK_AGAIN_US)
            return
        if answer.is_success or answer.code == top.DUPLICATE:
            self._queue.settle(task, TaskState.SENT, again_after_us=ASK_AGAIN_US)
        else:
            self._queue.settle(task, TaskState.REFUSED, cause=answer.cause)

    async def _ask(self, http: aiohttp.ClientSession, task: Task) -> None:
        """What became of a bill. Raises NotTakenError or NoAnswerError: the task stays as it is."""
        day = self._local(self._queue.fact_of(task).at.wall_us)[:10]
        content = {
            "ref_ent_id": self._caller.ref_ent_id,
            "begin_date": day,
            "end_date": self._local(self._time.now_us())[:10],
            "bill_type": "AI",
            "bill_code": task.subject,
            "page": "1",
            "page_size": "20",
        }
        answer = await self._call(http, "query.billstatus", content)
        if not answer.is_success:
            raise NoAnswerError(f"the platform did not answer the question for a bill: {answer.cause}")
        again_us = min(ASK_AGAIN_US << min(task.attempts, 20), LONGEST_AGAIN_US)
        match top.read_bill(answer, task.subject):
            case None if task.state is TaskState.UNKNOWN:
                self._queue.settle(task, TaskState.WAITING, cause="the platform does not have it: sent again")
            case (BillState.PROCESSED, _):
                self._queue.settle(task, TaskState.DONE)
            case (BillState.FAILED, cause):
                self._queue.settle(task, TaskState.REFUSED, cause=cause or "failed without cause")
            case _:
                self._queue.settle(task, TaskState.SENT, again_after_us=again_us)

    async def _supplier(self, http: aiohttp.ClientSession, name: str) -> str:
        """``ent_id`` of a supplier; empty: the platform does not know it by this name."""
        if not self._suppliers.get(name):
            content = {"ref_ent_id": self._caller.ref_ent_id, "ent_name": name}
            self._suppliers[name] = top.read_enterprise(await self._call(http, "query.getentinfo", content))
        return self._suppliers[name]

    async def _call(self, http: aiohttp.ClientSession, method: str, content: dict[str, str]) -> Answer:
        """Raises NotTakenError, NoAnswerError."""
        await self._pace()
        params = top.signed(
            self._caller, method, content, now=dt.datetime.fromtimestamp(self._time.now_us() / 1e6, _CHINA)
        )
        answer = await self._remote.post(http, params, lambda body: top.read_answer(body, method))
        if answer.code == top.SERVICE_ERROR:  # said by the gateway of what is behind it: it may have taken effect
            raise NoAnswerError(f"{self._url}: {answer.cause}")
        if answer.is_gateway:
            raise NotTakenError(f"{self._url}: turned away: {answer.code} {answer.cause}")
        return answer

    async def _pace(self) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + self._rest_s
        await asyncio.sleep(self._free_at - self._rest_s - now)

    def _local(self, us: int) -> str:
        return f"{self._time.local(us):%Y-%m-%d %H:%M:%S}"
