"""Messages in words, for whoever reads a trace."""

from sync_protocol import envelope
from sync_protocol.codec import decode_down, decode_up
from sync_protocol.errors import ProtocolError
from sync_protocol.messages import Ack, Batch, Delta, Down, Hello, Position, Pull, Refused, Up, Welcome


def spoken_message(data: bytes, *, is_up: bool) -> str:
    try:
        content = envelope.read(data).message
        message = decode_up(content) if is_up else decode_down(content)
    except ProtocolError as error:
        return f"unreadable: {error}"
    return _words(message)


def _words(message: Up | Down) -> str:
    words = type(message).__name__.lower()
    match message:
        case Hello():
            words += (
                f" {_positions(message.pending)} of {_positions(message.heads)} replica {message.replica_version}"
                f" incarnation {message.incarnation}"
            )
        case Batch():
            words += f" {message.start.session.hex()[:6]} {message.first_seq}-{message.last_seq}"
        case Pull():
            words += f" {message.after} of {message.incarnation}"
        case Welcome():
            words += f" {_positions(message.positions)} version {message.version} of {message.incarnation}"
        case Ack():
            words += (
                f" {message.session.hex()[:6]} {message.through} safe {message.safe} version {message.version}"
                f" of {message.incarnation} refused {[verdict.seq for verdict in message.exceptions]}"
            )
        case Delta():
            codes = [item.code[-7:] for item in message.rows.items]
            words += f" ({message.after}, {message.to}] latest {message.latest} of {message.incarnation} {codes}"
        case Refused():
            words += f": {message.cause}"
    return words


def _positions(positions: tuple[Position, ...]) -> str:
    return " ".join(f"{position.session.hex()[:6]}:{position.through}" for position in positions) or "nothing"
