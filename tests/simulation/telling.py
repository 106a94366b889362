"""Messages in words, for whoever reads a trace."""

from sync_protocol.codec import decode_down, decode_up
from sync_protocol.errors import ProtocolError
from sync_protocol.messages import Ack, Batch, Delta, Hello, Position, Pull, Refused, Welcome


def spoken_message(data: bytes, *, is_up: bool) -> str:
    try:
        message = decode_up(data) if is_up else decode_down(data)
    except ProtocolError as error:
        return f"unreadable: {error}"
    match message:
        case Hello():
            return f"hello {_positions(message.pending)} replica {message.replica_version}"
        case Batch():
            return f"batch {message.start.session.hex()[:6]} {message.first_seq}-{message.last_seq}"
        case Pull():
            return f"pull {message.after}"
        case Welcome():
            return f"welcome {_positions(message.positions)} version {message.version}"
        case Ack():
            refused = [verdict.seq for verdict in message.exceptions]
            return f"ack {message.session.hex()[:6]} {message.through} version {message.version} refused {refused}"
        case Delta():
            codes = [item.code[-7:] for item in message.rows.items]
            return f"delta ({message.after}, {message.to}] latest {message.latest} {codes}"
        case Refused():
            return f"refused: {message.cause}"


def _positions(positions: tuple[Position, ...]) -> str:
    return " ".join(f"{position.session.hex()[:6]}:{position.through}" for position in positions) or "nothing"
