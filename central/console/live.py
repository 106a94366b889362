"""News to open pages by server-sent events: only that something changed. The page fetches what it shows."""

import asyncio

from aiohttp import web

from central.changes import Changes

REST_S = 0.3
"""Between two pieces of news to a page: a busy ledger is read three times a second, not once a commit."""
BEAT_S = 15.0
MAX_PAGES = 300
_RETRY = "retry: 1000\n\n"


class Live:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._streams: set[asyncio.Task[None]] = set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Tell of every change after the one that the page has seen, the latest standing for all before it."""
        if len(self._streams) >= MAX_PAGES:
            raise web.HTTPServiceUnavailable(text=f"{MAX_PAGES} pages are open; close one")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        seen = _number(request.headers.get("Last-Event-ID") or request.query.get("after", ""))
        task = asyncio.create_task(self._tell(response, seen), name="live page")
        self._streams.add(task)
        try:
            await task
        except ConnectionError:
            pass  # the page is gone
        except asyncio.CancelledError:
            task.cancel()
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
        finally:
            self._streams.discard(task)
        return response

    async def stop(self, _app: web.Application) -> None:
        """End all streams: the server waits for its requests."""
        for task in self._streams:
            task.cancel()

    async def _tell(self, response: web.StreamResponse, seen: int) -> None:
        await response.write(_RETRY.encode())
        if seen > self._changes.tick:  # of a central that was running before
            seen = await self._news(response)
        while True:
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._changes.after(seen)
            except TimeoutError:
                await response.write(b": here\n\n")
                continue
            seen = await self._news(response)
            await asyncio.sleep(REST_S)

    async def _news(self, response: web.StreamResponse) -> int:
        tick = self._changes.tick
        await response.write(f"id: {tick}\nevent: changed\ndata: {tick}\n\n".encode())
        return tick


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0  # noqa: PLR2004 -- 64 bits
