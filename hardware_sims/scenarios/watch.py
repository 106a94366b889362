"""How the whole house stands, as anybody may ask: health of the agents, orders and insurer rows of central."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import aiohttp

from hardware_sims.fleet import Fleet
from hardware_sims.platforms.hospital import HospitalSystem
from hardware_sims.scenarios.patience import until
from hardware_sims.settings import AGENTS
from hardware_sims.truth import OrderLine

_TIMEOUT = aiohttp.ClientTimeout(total=5)
_PAGE = 500


class Watch:
    def __init__(self, fleet: Fleet, hospital: HospitalSystem, http: aiohttp.ClientSession) -> None:
        self._fleet = fleet
        self._hospital = hospital
        self._http = http

    async def settled(self, *, within_s: float) -> None:
        """Return once no agent has a fact that the ledger lacks, and each replica shows the ledger as it is."""
        await until("all facts are in the ledger and all replicas up to date", self._unsettled, within_s=within_s)

    async def devices_ready(self, agent: str, *, within_s: float) -> None:
        """Return once the agent has all its devices: what is scanned before then is lost, as in life."""

        async def look() -> str:
            devices = (await self._health(agent))["devices"]
            return "; ".join(
                f"{one['name']}: {one['state']} {one['cause']}" for one in devices if one["state"] != "ready"
            )

        await until(f"{agent} has its devices", look, within_s=within_s)

    async def orders_are(self, state: str, orders: Iterable[OrderLine], *, within_s: float) -> None:
        wanted = {order.id for order in orders}

        async def look() -> str:
            states = await self._order_states()
            off = Counter(states.get(order, "unknown") for order in wanted if states.get(order) != state)
            return ", ".join(f"{count} {name}" for name, count in sorted(off.items()))

        await until(f"{len(wanted)} orders are {state}", look, within_s=within_s)

    async def insured(self, *, within_s: float) -> None:
        """Return once the insurer accepted every row; a refused one is told with its cause."""
        await until("the insurer accepted every row", self._uninsured, within_s=within_s)

    async def _unsettled(self) -> str:
        version = (await self._hospital.ask("/api/v1/agents"))["version"]
        amiss = []
        for agent in AGENTS:
            health = await self._health(agent)
            if not health["is_connected"]:
                amiss.append(f"{agent} is not connected ({health['cause']})")
            elif health["facts_waiting"] or health["replica_version"] < version:
                behind = version - health["replica_version"]
                amiss.append(f"{agent}: {health['facts_waiting']} facts waiting, replica {behind} versions behind")
        self._fleet.raise_if_died()
        return "; ".join(amiss)

    async def _uninsured(self) -> str:
        rows = await self._pages("/api/v1/insurer-rows", "rows")
        self._fleet.raise_if_died()
        states = Counter(row["state"] for row in rows if row["state"] != "accepted")
        causes = {row["cause"] for row in rows if row["state"] != "accepted" and row["cause"]}
        return ", ".join([*(f"{count} {state}" for state, count in states.items()), *sorted(causes)])

    async def _order_states(self) -> dict[str, str]:
        orders = await self._pages("/api/v1/orders", "orders")
        return {order["id"]: order["state"] for order in orders}

    async def _pages(self, path: str, name: str) -> Sequence[dict[str, Any]]:
        """All entries of a list that comes in pages."""
        found: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            query = f"?limit={_PAGE}" + (f"&after={after}" if after else "")
            page = await self._hospital.ask(path + query)
            found += page[name]
            after = page["next"]
        return found

    async def _health(self, agent: str) -> dict[str, Any]:
        async with self._http.get(f"{self._fleet.agent_url(agent)}/healthz", timeout=_TIMEOUT) as answer:
            health: dict[str, Any] = await answer.json()
            return health
