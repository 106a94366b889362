"""``python -m hardware_sims.amqtt_process PORT``: amqtt, pure Python and MQTT 3.1.1, for machines without a broker.

amqtt 0.12 bounds neither the size of a message nor its queues, so nothing is set for them here; what bounds them is
the other side: batches of at most 256 KiB, four in flight, answers read at once. Its default plugins log each packet
and publish statistics: only the one that lets clients in is loaded.
"""

import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker


async def serve(port: int) -> None:
    """Until SIGTERM or SIGINT. Raises BrokerError if the port is taken."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}", "max_connections": 50}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asked_to_stop.wait()
    await broker.shutdown()


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    asyncio.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
