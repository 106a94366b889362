"""A platform's door: its HTTP application on a port of 127.0.0.1, open for the length of a ``with``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

_GOODBYE_S = 1.0


@asynccontextmanager
async def served(application: web.Application, *, port: int = 0) -> AsyncIterator[str]:
    """Its address, without a slash at the end. A port of 0 is chosen by the system."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_GOODBYE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        bound = runner.addresses[0][1]
        yield f"http://127.0.0.1:{bound}"
    finally:
        await runner.cleanup()
