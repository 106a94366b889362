"""An agent in a process of its own, to be killed: FOLDER PORT SITE."""

import asyncio
import sys
from pathlib import Path

from tests.integration.recalls.house import Agent


async def main(folder: str, port: str, site: str) -> None:
    with Agent(Path(folder), int(port), site=site) as agent:
        async with agent.online():
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
