"""``python tests/scale/listener.py PORT``: hears all batches and acks at the broker, and prints when each was (s).

A swarm in one process is slow to hear its acks; agents on computers of their own are not. So acks are timed here.
"""

import asyncio
import sys
import time
from pathlib import Path

import aiomqtt

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from sync_protocol import envelope, topics  # noqa: E402 - this is a script of the tree
from sync_protocol.codec import decode_down, decode_up  # noqa: E402
from sync_protocol.messages import Ack, Batch  # noqa: E402


async def listen(port: int) -> None:
    """Until it is stopped."""
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V311) as client:
        await client.subscribe([(topics.ALL_UP, 0), (topics.ALL_UP.replace("/up", "/down"), 0)])
        _say("listening")
        async for message in client.messages:
            now_s, data = time.perf_counter(), message.payload
            assert isinstance(data, bytes), "aiomqtt gives what came"
            if str(message.topic).endswith("/up"):
                up = decode_up(envelope.read(data).message)
                if isinstance(up, Batch):
                    _say(f"batch {now_s} {up.start.session.hex()} {up.last_seq}")
            else:
                down = decode_down(envelope.read(data).message)
                if isinstance(down, Ack):
                    _say(f"ack {now_s} {down.session.hex()} {down.through}")


def acks_s(said: str) -> list[float]:
    """Of what it printed: from the first time that a batch was heard to the first ack that covers it, in order."""
    waiting: dict[str, dict[int, float]] = {}
    seen: set[tuple[str, int]] = set()
    found = []
    for line in said.splitlines():
        kind, *rest = line.split()
        if kind not in {"batch", "ack"}:
            continue
        at_s, session, seq = float(rest[0]), rest[1], int(rest[2])
        if kind == "batch" and (session, seq) not in seen:
            seen.add((session, seq))
            waiting.setdefault(session, {})[seq] = at_s
        elif kind == "ack":
            own = waiting.get(session, {})
            found += [at_s - own.pop(sent) for sent in sorted(own) if sent <= seq]
    return sorted(found)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(listen(int(sys.argv[1])))
