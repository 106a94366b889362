"""The live stream of a page: which panels went stale. The page fetches them; nothing else travels here."""

import asyncio
from contextlib import suppress

from aiohttp import web

from edge_agent.notify import Change, Notifier

PAGES_AT_MOST = 64
BEAT_S = 15.0
PACE_S = 0.1
"""At most ten refreshes a second and page, however fast people scan."""


class Events:
    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._is_closing = False
        self.pages = 0

    async def close(self, _app: web.Application) -> None:
        """Let every page go, so that the agent can stop at once."""
        self._is_closing = True
        self._notifier.publish(Change.EVERYTHING)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /events."""
        if self.pages >= PAGES_AT_MOST or self._is_closing:
            raise web.HTTPServiceUnavailable(text=f"{PAGES_AT_MOST} pages follow already; close some of them\n")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        self.pages += 1
        try:
            await response.prepare(request)
            with suppress(ConnectionResetError):
                await self._follow(response)
        finally:
            self.pages -= 1
        return response

    async def _follow(self, response: web.StreamResponse) -> None:
        with self._notifier.subscribe() as changes:
            await response.write(b"retry: 1000\n\n")
            while not self._is_closing:
                try:
                    async with asyncio.timeout(BEAT_S):
                        stale = await changes.next()
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                await response.write("".join(f"event: {change}\ndata: -\n\n" for change in stale).encode())
                await asyncio.sleep(PACE_S)
