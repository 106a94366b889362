"""A simulated unit-dose packager: canisters, a queue of jobs, pouches made in time, and what goes wrong with them."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from drivers.wire import packager as wire
from hardware_sims.serve import Cable


class SimPackager:
    """Plug it in as ``TcpPort(packager.talk)``. A result is repeated every ``repeat_s`` until it is acknowledged.

    What it was told outlives the cable: jobs wait, and results are told on the next connection. ``pouches`` are those
    made, by job; ``received`` counts how often each job came; ``told`` are the results that were acknowledged.
    ``on_pouch`` hears of each pouch before anybody else does.
    """

    def __init__(
        self,
        *,
        canisters: Mapping[str, int],
        pouch_s: float = 0.05,
        repeat_s: float = 0.5,
        on_pouch: Callable[[wire.Job], None] = lambda _job: None,
    ) -> None:
        self.pouches: dict[str, wire.Job] = {}
        self.received: Counter[str] = Counter()
        self.told: list[wire.Result] = []
        self._canisters = Counter(canisters)
        self._pouch_s = pouch_s
        self._repeat_s = repeat_s
        self._on_pouch = on_pouch
        self._jobs: dict[str, wire.Job] = {}
        self._waiting: deque[wire.Job] = deque()
        self._outbox: deque[wire.Result] = deque()
        self._to_waste = 0
        self._to_ignore = 0
        self._is_jamming = False
        self._runs = asyncio.Event()
        self._runs.set()
        self._at_work = asyncio.Lock()
        self._news = asyncio.Condition()

    def fill(self, product: str, quantity: int) -> None:
        self._canisters[product] += quantity

    def stock(self, product: str) -> int:
        return self._canisters[product]

    def jam(self) -> None:
        """The next pouch jams; the machine then stands still until the jam is cleared."""
        self._is_jamming = True

    def clear_jam(self) -> None:
        self._runs.set()

    def waste_next(self) -> None:
        """The next pouch is made but spoilt."""
        self._to_waste += 1

    def ignore_next_job(self) -> None:
        """The next job record is taken over, but its ACK is lost."""
        self._to_ignore += 1

    async def repeat_result(self) -> None:
        """Tell the last acknowledged result once more."""
        await self._tell(self.told[-1])

    async def talk(self, cable: Cable) -> None:
        answers: asyncio.Queue[str] = asyncio.Queue(100)
        async with asyncio.TaskGroup() as tasks:
            work = [
                tasks.create_task(self._make_pouches(), name="packager makes pouches"),
                tasks.create_task(self._tell_results(cable, answers), name="packager tells results"),
            ]
            splitter = wire.Splitter()
            with suppress(ConnectionError):
                while data := await cable.read():
                    for record in splitter.feed(data):
                        await self._handle(record, cable, answers)
            for task in work:
                task.cancel()

    async def _handle(self, record: wire.Received | wire.Unreadable, cable: Cable, answers: asyncio.Queue[str]) -> None:
        if isinstance(record, wire.Unreadable):
            await cable.write(wire.encode(record.answer))
            return
        match record.message:
            case wire.Job() as job:
                await self._take_over(job, record.crc, cable)
            case wire.Taken(crc=crc) | wire.Refused(crc=crc):
                await answers.put(crc)
            case wire.SendAgain():
                await answers.put("")
            case wire.Result():
                await cable.write(wire.encode(wire.Refused(crc=record.crc, reason="results come from the machine")))

    async def _take_over(self, job: wire.Job, crc: str, cable: Cable) -> None:
        self.received[job.job] += 1
        if self._jobs.setdefault(job.job, job) != job:
            await cable.write(wire.encode(wire.Refused(crc=crc, reason=f"job {job.job} was already another one")))
            return
        if self.received[job.job] == 1:
            async with self._news:
                self._waiting.append(job)
                self._news.notify_all()
        if self._to_ignore:
            self._to_ignore -= 1
            return
        await cable.write(wire.encode(wire.Taken(crc=crc)))

    async def _make_pouches(self) -> None:
        async with self._at_work:  # one machine, even while a new connection overlaps a dying one
            while True:
                async with self._news:
                    await self._news.wait_for(lambda: self._waiting)
                await self._runs.wait()
                await asyncio.sleep(self._pouch_s)
                await self._tell(self._make(self._waiting.popleft()))

    def _make(self, job: wire.Job) -> wire.Result:
        if unknown := [dose.product for dose in job.doses if dose.product not in self._canisters]:
            return _result(job, "unknown_product", message=f"no canister for {unknown[0]}")
        needed: Counter[str] = Counter()
        for dose in job.doses:
            needed[dose.product] += dose.quantity
        if empty := [product for product, quantity in needed.items() if self._canisters[product] < quantity]:
            return _result(job, "empty_canister", message=f"canister of {empty[0]} is empty")
        if self._is_jamming:
            self._is_jamming = False
            self._runs.clear()
            return _result(job, "jammed", message="film jam at the sealer")
        self._canisters.subtract(needed)
        self.pouches[job.job] = job
        self._on_pouch(job)
        pouch = f"P{len(self.pouches):06d}"
        if self._to_waste:
            self._to_waste -= 1
            return _result(job, "wasted", pouch=pouch, message="pouch count differs")
        return _result(job, "done", pouch=pouch)

    async def _tell(self, result: wire.Result) -> None:
        async with self._news:
            self._outbox.append(result)
            self._news.notify_all()

    async def _tell_results(self, cable: Cable, answers: asyncio.Queue[str]) -> None:
        with suppress(ConnectionError):
            while True:
                async with self._news:
                    await self._news.wait_for(lambda: self._outbox)
                record = wire.encode(self._outbox[0])
                await cable.write(record)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._repeat_s):
                        if await answers.get() == wire.crc_of(record):
                            self.told.append(self._outbox.popleft())


def _result(job: wire.Job, outcome: str, *, pouch: str = "", message: str = "") -> wire.Result:
    return wire.Result(job=job.job, outcome=outcome, pouch=pouch, message=message)
