"""What the states of documents are called on a page: delivery notes, requisitions and transfers."""

from collections.abc import Mapping

from central.console.message import message
from central.ledger.read_requisitions import MISSING, ON_THE_WAY, RECEIVED
from sync_protocol.documents import NoteState, TransferKind, TransferState

NOTE_STATES: Mapping[str, str] = {
    NoteState.EXPECTED: message("expected"),
    NoteState.RECEIVED: message("received"),
}
RELATIONS: Mapping[str, str] = {
    "platform": message("relation from the platform"),
    "awaited": message("relation awaited"),
    "note": message("box by box from the note"),
}
PLATFORM_STATES: Mapping[str, str] = {
    "waiting": message("waiting to be sent"),
    "sending": message("being sent"),
    "unknown": message("no answer, being asked"),
    "sent": message("uploaded, being processed"),
    "done": message("processed"),
    "refused": message("refused"),
}
TRANSFER_KINDS: Mapping[str, str] = {
    TransferKind.REQUISITION: message("requisition"),
    TransferKind.TRANSFER: message("transfer"),
}
TRANSFER_STATES: Mapping[str, str] = {
    TransferState.ASKED: message("asked for"),
    TransferState.PART_ISSUED: message("partly issued"),
    TransferState.ISSUED: message("issued, on the way"),
    TransferState.DONE: message("arrived"),
    TransferState.CANCELLED: message("called off"),
}
TRANSFER_CODES: Mapping[str, str] = {
    ON_THE_WAY: message("on the way"),
    RECEIVED: message("taken in"),
    MISSING: message("missing, written off"),
}
