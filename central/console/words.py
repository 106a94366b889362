"""What the values of the ledger are called on a page. The message ids are English; the catalogue has the rest."""

from collections.abc import Mapping

from central.console.document_words import (
    NOTE_STATES,
    PLATFORM_STATES,
    RELATIONS,
    TRANSFER_CODES,
    TRANSFER_KINDS,
    TRANSFER_STATES,
)
from central.console.figure_words import BASES, INDICATORS, INSURER_ADVICE, INSURER_KINDS, SLIPS, STEPS
from central.console.message import message
from central.console.people_words import PERSON_CHANGES, ROLES, ROLES_MAY
from central.console.stock_words import REPLENISHING, STOCKTAKE_LINES
from central.stock.services import UNHEARD
from sync_protocol.allocation import Rule
from sync_protocol.documents import OrderKind, OrderState
from sync_protocol.facts import UNDONE, How, What
from sync_protocol.items import Kind, State
from sync_protocol.lifecycle import Reason
from sync_protocol.machines.grants_events import Standing
from sync_protocol.machines.lineage import Finding

STATES: Mapping[str, str] = {
    State.EXPECTED: message("expected"),
    State.IN_STOCK: message("in stock"),
    State.OPENED: message("opened"),
    State.LOCKED: message("locked"),
    State.TAKEN: message("taken"),
    State.LENT: message("lent"),
    State.DISPENSED: message("dispensed"),
    State.AWAITING_PUT_BACK: message("awaiting put-back"),
    State.IN_TRANSIT: message("in transit"),
    State.FROZEN: message("frozen"),
    State.ABNORMAL: message("abnormal"),
    State.RETURNED_TO_SUPPLIER: message("returned to supplier"),
}
KINDS: Mapping[str, str] = {
    Kind.BOX: message("box"),
    Kind.UNIT: message("unit"),
    Kind.PIECE: message("piece"),
}
FACTS: Mapping[str, str] = {
    What.ANNOUNCED: message("announced"),
    What.RECEIVED: message("received into stock"),
    What.PRESCANNED: message("pre-scanned and opened"),
    What.LOCKED: message("locked to an order"),
    What.UNLOCKED: message("unlocked"),
    What.DISPENSED: message("dispensed and written off"),
    What.RETURNED: message("returned by the patient"),
    What.TAKEN: message("taken in hand"),
    What.PUT_BACK: message("put back"),
    What.ORDER_CANCELLED: message("order cancelled"),
    What.LENT: message("lent out"),
    What.BOUND: message("loan bound to an order"),
    What.GIVEN_BACK: message("given back"),
    What.TRANSFERRED_OUT: message("transferred out"),
    What.TRANSFERRED_IN: message("transferred in"),
    What.SENT_BACK: message("sent back to the supplier"),
    What.FROZEN: message("frozen (recall or hold)"),
    What.RELEASED: message("released"),
    What.WRITTEN_OFF: message("written off as abnormal"),
    What.COUNTED: message("counted"),
    What.PACKED: message("packed into a pouch"),
    What.RELABELLED: message("relabelled"),
    What.LEASE_ENDED: message("taken from a workplace after a count"),
    "unreadable": message("unreadable fact"),
}
HOWS: Mapping[str, str] = {
    How.SCAN: message("by scan"),
    How.LATE_SCAN: message("by late scan"),
    How.RFID: message("by RFID"),
    How.AUTOMATIC: message("automatically"),
    How.MACHINE: message("by a machine"),
    How.CONSOLE: message("by hand"),
    How.MESSAGE: message("by message"),
}
REASONS: Mapping[str, str] = {
    Reason.UNKNOWN_CODE: message("unknown code"),
    Reason.ALREADY_KNOWN: message("announced before"),
    Reason.ALREADY_RECEIVED: message("received before"),
    Reason.ALREADY_OPENED: message("opened before"),
    Reason.ALREADY_DISPENSED: message("dispensed before"),
    Reason.WRONG_KIND: message("wrong kind of item"),
    Reason.WRONG_STATE: message("not in a state for this"),
    Reason.WRONG_PRODUCT: message("wrong product"),
    Reason.WRONG_ORDER: message("wrong order"),
    Reason.WRONG_DOCUMENT: message("wrong document"),
    Reason.EXPIRED: message("expired"),
    Reason.FROZEN: message("frozen by a recall or hold"),
    Reason.OUT_FOR_GOOD: message("out of the hospital for good"),
    Reason.NOT_BOUND: message("loan without an order"),
    Reason.SECOND_PERSON: message("second person missing"),
    Reason.ISSUED_TWICE: message("handed out twice: in an emergency, and by its holder"),
    Reason.OVERTAKEN: message("others had it out before this was known"),
    Reason.NO_EMERGENCY: message("emergency without reason or second person"),
    Reason.LEASED: message("another workplace may hand it out"),
    Reason.NOT_LEASED: message("not granted to the workplace"),
    Reason.RECALLED: message("recalled, and out of our hands all the same"),
    Reason.OLD_COPY: message("the copy of the ledger at the workplace is too old"),
    Reason.OLD_COPY_SECOND_PERSON: message("the copy of the ledger at the workplace is old, second person missing"),
    "unreadable": message("unreadable fact"),
    "chain_conflict": message("two facts with one identity"),
    Finding.FORKED: message("journal rolled back or cloned"),
    Finding.ROLLED_BACK: message("journal rolled back: an older copy of it was put back"),
    Finding.LOST: message("journal lost: the device began a new one"),
}
ADVICE: Mapping[str, str] = {
    Reason.UNKNOWN_CODE: message("Find the delivery that it came with and announce it, or set it aside."),
    Reason.ALREADY_KNOWN: message("Compare the two delivery notes: one code cannot be delivered twice."),
    Reason.ALREADY_RECEIVED: message("Compare with the timeline: the earlier receipt stands."),
    Reason.ALREADY_OPENED: message("Look for the units of the box: they live on under their own codes."),
    Reason.ALREADY_DISPENSED: message("Look who has it: one code cannot go to two patients."),
    Reason.WRONG_KIND: message("Scan the code of the right label: box, unit or piece."),
    Reason.WRONG_STATE: message("Compare what was done with the timeline, and record the step that is missing."),
    Reason.WRONG_PRODUCT: message("Hold object, code and order against each other; one of the three is wrong."),
    Reason.WRONG_ORDER: message("Find the item that is locked to this order, or change the order."),
    Reason.WRONG_DOCUMENT: message("Compare the item with the document that names it."),
    Reason.EXPIRED: message("Take it from the shelf and write it off."),
    Reason.FROZEN: message("Keep it apart until the hold is released."),
    Reason.OUT_FOR_GOOD: message("It should not be here: set it aside and look how it came back."),
    Reason.NOT_BOUND: message("Bind the loan to its order, then dispense."),
    Reason.SECOND_PERSON: message("Name the witness, and record the step again."),
    Reason.ISSUED_TWICE: message("Both stand. Ask both workplaces who has the package, and correct what is not true."),
    Reason.OVERTAKEN: message("Look where it really is: this step may be older than those before it."),
    Reason.NO_EMERGENCY: message("Ask who handed it out and why, and record the step again with both people."),
    Reason.LEASED: message("Nothing to do: the workplace was refused."),
    Reason.NOT_LEASED: message("Nothing to do: the workplace was refused."),
    Reason.RECALLED: message("Find who has it now: the page of the recall names patient and order."),
    Reason.OLD_COPY: message("Connect the workplace, and record the step again."),
    Reason.OLD_COPY_SECOND_PERSON: message("Name the witness, and record the step again."),
    "unreadable": message("Keep the device as it is and call support: its software may be damaged."),
    "chain_conflict": message("Stop the device: two histories claim to be it. Do not restore its disk again."),
    Finding.FORKED: message("Ask who restored or copied this computer, and enrol it again. All facts are kept."),
    Finding.ROLLED_BACK: message(
        "Ask who restored this computer. All facts are kept; count its stock for what it did after it was last heard"
        " of."
    ),
    Finding.LOST: message(
        "Ask what became of its disk, and count its stock: what it did after it was last heard of nobody knows."
    ),
}
RULES: Mapping[str, str] = {
    Rule.LOT_HELD: message("the lot that the order has already"),
    Rule.ONE_LOT: message("first lot to expire that covers the order"),
    Rule.SEVERAL_LOTS: message("several lots, first expiry first"),
    Rule.NOTHING_FREE: message("nothing is free"),
}
ORDER_KINDS: Mapping[str, str] = {
    OrderKind.LONG_TERM: message("long-term"),
    OrderKind.STAT: message("stat"),
    OrderKind.DISCHARGE: message("discharge"),
}
ORDER_STATES: Mapping[str, str] = {
    OrderState.WAITING: message("waiting for stock"),
    OrderState.PART_LOCKED: message("partly locked"),
    OrderState.LOCKED: message("locked, ready"),
    OrderState.DISPENSED: message("handed out"),
    OrderState.CANCELLED: message("cancelled"),
}
INSURER_STATES: Mapping[str, str] = {
    "waiting": message("waiting to be sent"),
    "sending": message("being sent"),
    "unknown": message("no answer, being asked"),
    "accepted": message("accepted"),
    "refused": message("refused"),
    "exempt": message("not for an insurer"),
}
PARTS: Mapping[str, str] = {
    "ledger": message("ledger"),
    "broker": message("message broker"),
    "ingest": message("ingest"),
    "recalls": message("recalls"),
    "devices": message("devices let in"),
    "snapshots": message("snapshots for new workplaces"),
    "insurer": message("insurer"),
    "msfx": message("code platform"),
    "life": message("this ledger's life"),
    "refill": message("refilling after a restore"),
}
FIELDS: Mapping[str, str] = {
    "id": message("Recall number"),
    "product": message("Product"),
    "lot": message("Lot"),
    "codes": message("Codes"),
    "reason": message("Reason"),
    "operator": message("Person"),
    "witness": message("Second person"),
    "quantity": message("Quantity"),
    "order": message("Order"),
    "lines": message("Lines"),
    "source": message("From"),
    "target": message("To"),
    "document": message("Document"),
    "location": message("Location"),
    "products": message("Products"),
    "device": message("Device"),
    "found": message("Codes"),
    "name": message("Name"),
    "badge": message("Badge"),
    "pin": message("PIN"),
    "person": message("Number"),
    "roles": message("Roles"),
    "fingerprint": message("Fingerprint"),
    "key": message("Key"),
    "where": message("Where the insurer has it"),
    "days": message("Days"),
    "day_to": message("To"),
}
HARMS: Mapping[str, str] = {
    "broken": message("broken"),
    "spoilt": message("too warm, wet or dirty"),
    "past_expiry": message("expired"),
    "label_unreadable": message("label cannot be read"),
    "suspect": message("in doubt"),
}
"""What a workplace says is wrong with what it freezes (``edge_agent.workflows.damage``)."""
WHYS: Mapping[str, str] = {
    UNDONE: message("undone: nothing had been given"),
}
"""What software says for a reason, not a person."""
_PHRASES = (
    message("an announced code"),
    message("a date not before today"),
    message("a witness besides the operator"),
    message("a loan bound to an order"),
    message("a lock, or a late scan"),
    message("one journal on one device"),
    message("the journal as it was last heard of"),
    message("the journal that this device had"),
    message("an item not recalled"),
)
PHRASES: Mapping[str, str] = {phrase: phrase for phrase in _PHRASES}
"""What ``sync_protocol.lifecycle`` expects, where it is no value of the ledger."""
COUNTS = frozenset(
    {
        message("facts that the ledger has and this journal has not"),
        message("facts that it told of and that are lost"),
        message("last heard of before"),
    }
)
"""What ``central.sync.lineage`` counts."""
CONDITIONS = (
    message("see the cause"),
    message("start the broker, or correct [mqtt] url; agents keep their facts"),
    message("keep the data folder of the agents named and look at the exceptions"),
    message("check the platform and [insurer]; rows wait and are sent by themselves"),
    message("the platform has no outer pack of these boxes"),
    message("the platform does not have it: sent again"),
    message("central was restarted while it was sent"),
    message("check the code platform and [msfx]; receiving goes on box by box meanwhile"),
    message("put the old recall.key back, or give every agent the key of recall-key"),
    message("two people compare each fingerprint with the one that the device shows, and accept it below"),
    message("look for a second computer of this name, or for whoever has access to the broker"),
    message("more facts arrive than can be written"),
    message("agents have met a newer central"),
    message("two centrals are alive: stop this one, or restore the backup that is meant, with the clock set right"),
    message("the ledger was restored, and agents give back what it lacks"),
    message("bring the agents back that are waited for; orders wait meanwhile, workplaces go on"),
    message("not connected yet"),
    message("the broker closed the connection"),
    message("the disk of the ledger is full: free space on it; agents keep their facts meanwhile"),
    message("another process holds the ledger locked: end the backup or tool that does"),
)
"""Causes and advice of the parts of central that are known beforehand; others are shown as they come."""
STANDINGS: Mapping[str, str] = {
    Standing.LIVE: message("in force"),
    Standing.GONE: message("given back"),
    Standing.DOUBT: message("silent, in doubt"),
    Standing.FENCED: message("fenced"),
    UNHEARD: message("not heard since the restore"),
}
STANDING_CAUSES: Mapping[str, str] = {
    Standing.LIVE: message("It issued items that the ledger has elsewhere. Count whether they are on its shelf."),
    Standing.GONE: message("Some of what it gave back was not found. Count again."),
    Standing.DOUBT: message("It fell silent, and its time is over. Switch it off, then count what is on its shelf."),
    Standing.FENCED: message("Its journal was set back, copied or lost. Keep one computer, then count its shelf."),
    UNHEARD: message(
        "It has not said what it holds. Bring it back; if it is gone for good, count the stock at its place."
    ),
}
EVERY: Mapping[str, Mapping[str, str]] = {
    "role": ROLES,
    "role_may": ROLES_MAY,
    "person_change": PERSON_CHANGES,
    "state": STATES,
    "kind": KINDS,
    "fact": FACTS,
    "how": HOWS,
    "reason": REASONS,
    "advice": ADVICE,
    "rule": RULES,
    "harm": HARMS,
    "why": WHYS,
    "order_kind": ORDER_KINDS,
    "order_state": ORDER_STATES,
    "insurer_state": INSURER_STATES,
    "insurer_kind": INSURER_KINDS,
    "part": PARTS,
    "standing": STANDINGS,
    "standing_cause": STANDING_CAUSES,
    "note_state": NOTE_STATES,
    "relation": RELATIONS,
    "transfer_kind": TRANSFER_KINDS,
    "transfer_state": TRANSFER_STATES,
    "transfer_code": TRANSFER_CODES,
    "platform_state": PLATFORM_STATES,
    "indicator": INDICATORS,
    "insurer_advice": INSURER_ADVICE,
    "base": BASES,
    "step": STEPS,
    "slip": SLIPS,
    "stocktake_line": STOCKTAKE_LINES,
    "replenishing": REPLENISHING,
}
