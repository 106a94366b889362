"""GET /healthz and GET /metrics: for the watcher of the machine, without a token and without a word about a patient."""

import time
from http import HTTPStatus

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from central.ledger import read_api, read_console
from central.ledger.transaction import Transaction
from central.ledger.write import Committed
from central.stock.services import Condition, Services

# Seconds; an fsync is a tenth of a millisecond on a good disk and seconds on a failing one.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``parts`` that are not well have a cause and an advice."""

    status: str
    version: int
    parts: tuple[Condition, ...]


class Metrics:
    """What Prometheus scrapes. Levels are read from the ledger at each scrape, so they are true after a restart."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._registry = CollectorRegistry()
        self._version = self._gauge("codepool_ledger_version", "Version of the last commit")
        self._facts = self._gauge("codepool_facts_ingested", "Facts in the ledger")
        self._exceptions = self._gauge("codepool_exceptions_open", "Facts that do not fit and wait for a person")
        self._agents = self._gauge("codepool_agents_connected", "Agents heard of lately")
        self._waiting = self._gauge("codepool_facts_waiting", "Facts that agents hold and the ledger has not yet")
        self._rows = self._gauge("codepool_insurer_rows", "Rows for the insurer", "state")
        self._tasks = self._gauge("codepool_platform_tasks", "Questions and bills for the code platform", "state")
        self._parts = self._gauge("codepool_part_up", "1 while the part of central is well", "part")
        self._commits = Histogram(
            "codepool_commit_seconds",
            "From the last rule of a commit until it is on the disk",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._commit_began_s = 0.0
        services.ledger.follow(self._commit_begins)
        services.ledger.listen(self._commit_ended)
        self._requests = Counter(
            "codepool_http_requests", "Requests answered", ("face", "status"), registry=self._registry
        )

    def _commit_begins(self, _transaction: Transaction) -> None:
        self._commit_began_s = time.perf_counter()

    def _commit_ended(self, _committed: Committed) -> None:
        self._commits.observe(time.perf_counter() - self._commit_began_s)

    def answered(self, face: str, status: int) -> None:
        self._requests.labels(face, str(status)).inc()

    async def text(self) -> bytes:
        levels = await read_console.levels(self._services.read)
        self._version.set(await read_api.ledger_version(self._services.read))
        self._facts.set(levels.facts)
        self._exceptions.set(levels.exceptions_open)
        self._agents.set(levels.agents_connected)
        self._waiting.set(levels.facts_waiting)
        for state in read_console.INSURER_STATES:
            self._rows.labels(state).set(levels.insurer_rows.get(state, 0))
        for state in read_console.PLATFORM_STATES:
            self._tasks.labels(state).set(levels.platform_tasks.get(state, 0))
        for condition in self._services.conditions():
            self._parts.labels(condition.part).set(int(condition.is_ok))
        return generate_latest(self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self._registry)


def add_routes(app: web.Application, services: Services, metrics: Metrics) -> None:
    async def healthz(_request: web.Request) -> web.Response:
        parts = services.conditions()
        is_ok = all(part.is_ok for part in parts)
        health = Health(status="ok" if is_ok else "degraded", version=services.changes.version, parts=parts)
        status = HTTPStatus.OK if is_ok else HTTPStatus.SERVICE_UNAVAILABLE
        return web.Response(status=status, body=msgspec.json.encode(health), content_type="application/json")

    async def scrape(_request: web.Request) -> web.Response:
        return web.Response(body=await metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", scrape)
