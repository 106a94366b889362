"""What no honest agent sends: the name of another device, numbers that no ledger has, too little or too much."""

from central.ledger.reading import fits_integer
from sync_protocol.digests import BUCKETS, DIGEST_BYTES
from sync_protocol.leases import MOST_CLAIMED
from sync_protocol.machines.credit import BATCH_FACTS
from sync_protocol.messages import Ask, AskBucket, AskRecalls, Batch, Confirm, Digest, Hello, Holds, Mended, Pull, Up
from sync_protocol.recalls import SignedRecalls


def flaw(device: str, message: Up) -> str:
    """Why the message, which came by the topic of the device, cannot be taken; empty: it can."""
    if isinstance(message, Hello | Batch) and message.start.device != device:
        return f"topic of device {device}, message of device {message.start.device}"
    if not fits_integer(*_numbers(message)):
        return f"{type(message).__name__.lower()} with a number beyond 63 bits"
    match message:
        case Batch() if message.first_seq < 1 or not 1 <= len(message.bodies) <= BATCH_FACTS:
            return f"batch from fact {message.first_seq} with {len(message.bodies)} facts, at most {BATCH_FACTS}"
        case Digest() if len(message.sums) != DIGEST_BYTES:
            return f"digest of {len(message.sums)} bytes, expected {DIGEST_BYTES}"
        case Holds() | Ask() if len(message.codes) > MOST_CLAIMED:
            return f"{len(message.codes)} codes of a lease, at most {MOST_CLAIMED}"
        case AskBucket() if not 0 <= message.bucket < BUCKETS:
            return f"question about bucket {message.bucket}, expected 0 to {BUCKETS - 1}"
    return ""


def _numbers(message: Up) -> tuple[int, ...]:  # noqa: PLR0911 -- one line a message
    match message:
        case Hello(start=start):
            heads = (position.through for position in (*message.heads, *message.pending))
            known = (message.replica_version, message.schema, message.sent_us, message.incarnation)
            return (start.parent_seq, start.started_us, *known, message.recall_version, *heads)
        case Batch(start=start):
            return (start.parent_seq, start.started_us, message.first_seq, message.incarnation)
        case Pull():
            return (message.after, message.incarnation, message.takes)
        case Confirm():
            return (message.recall_version,)
        case SignedRecalls() | Digest():
            return (message.version,)
        case Mended():
            return (message.version, message.items)
        case Holds():
            told = (message.number, message.seen, message.incarnation, message.spoken_to, message.sent_us, message.want)
            return (*told, *(position.through for position in message.heads))
        case Ask():
            return (message.seen, message.sent_us)
        case AskRecalls() | AskBucket():
            return ()
