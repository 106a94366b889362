"""Words for states, kinds and troubles, and the one honest sentence about synchronisation."""

from collections.abc import Mapping

from drivers.readings import LinkState, PouchOutcome
from edge_agent.health import Sentence
from edge_agent.screens.wording import mark, mark_count
from edge_agent.sync.state import RecallTrouble
from edge_agent.workflows.contents import StrayKind
from edge_agent.workflows.damage import Harm
from edge_agent.workflows.door import Trouble
from edge_agent.workflows.packaging import PouchState
from edge_agent.workflows.sheets import Why
from edge_agent.workflows.verdicts import Result, Step
from sync_protocol.degraded import Allowance, Class
from sync_protocol.documents import OrderKind, TransferKind
from sync_protocol.items import Kind, State

AGES = (
    (86_400, mark_count("%(num)d day", "%(num)d days")),
    (3_600, mark_count("%(num)d hour", "%(num)d hours")),
    (60, mark_count("%(num)d min", "%(num)d min")),
    (1, mark_count("%(num)d s", "%(num)d s")),
)

WORDS: Mapping[str, str] = {
    State.EXPECTED: mark("expected, not received"),
    State.IN_STOCK: mark("in stock"),
    State.OPENED: mark("opened"),
    State.LOCKED: mark("locked to an order"),
    State.TAKEN: mark("taken"),
    State.LENT: mark("lent"),
    State.DISPENSED: mark("handed out"),
    State.AWAITING_PUT_BACK: mark("order cancelled, not back yet"),
    State.IN_TRANSIT: mark("in transit"),
    State.FROZEN: mark("frozen"),
    State.ABNORMAL: mark("out for good"),
    State.RETURNED_TO_SUPPLIER: mark("returned to the supplier"),
    Kind.BOX: mark("box"),
    Kind.UNIT: mark("unit of an opened box"),
    Kind.PIECE: mark("piece"),
    OrderKind.STAT: mark("Stat"),
    OrderKind.DISCHARGE: mark("Discharge"),
    OrderKind.LONG_TERM: mark("Long-term"),
    TransferKind.REQUISITION: mark("Requisition"),
    TransferKind.TRANSFER: mark("Transfer"),
    Class.CONTROLLED: mark("Controlled drugs"),
    Class.DRUG: mark("Other drugs"),
    Class.CONSUMABLE: mark("Consumables"),
    Allowance.MARK: mark("handed out as ever, recorded with a mark"),
    Allowance.WITNESS: mark("a second person must confirm"),
    Allowance.BLOCK: mark("not until this place is connected again"),
    Step.RECEIVE: mark("Receive"),
    Step.PRESCAN: mark("Pre-scan"),
    Step.HAND_OUT: mark("Hand out"),
    Step.LATE_SCAN: mark("Late scan"),
    Step.LOOK_UP: mark("More"),
    Step.RETURN: mark("Return"),
    Step.LEND: mark("Lend"),
    Step.DAMAGE: mark("Damage"),
    Step.ISSUE: mark("Issue"),
    Step.ARRIVE: mark("Take in"),
    Step.COUNT: mark("Stocktake"),
    Step.SHEETS: mark("Paper sheets"),
    Why.NOT_USED: mark("Nothing is written there"),
    Why.AT_THE_SCREEN: mark("Recorded at the screen as well"),
    Why.COPIED: mark("Written on another sheet"),
    Harm.BROKEN: mark("Broken"),
    Harm.SPOILT: mark("Too warm, wet or dirty"),
    Harm.EXPIRED: mark("Expired"),
    Harm.LABEL: mark("Label cannot be read"),
    Harm.SUSPECT: mark("In doubt"),
    LinkState.CONNECTING: mark("connecting"),
    LinkState.READY: mark("ready"),
    LinkState.FAULTED: mark("not answering"),
    Result.DONE: mark("done"),
    Result.PROGRESS: mark("counted"),
    Result.REPEAT: mark("scanned before"),
    Result.TOLD: mark("looked up"),
    Result.REFUSED: mark("refused"),
    PouchState.WAITING: mark("waiting"),
    PouchState.IN_MACHINE: mark("in the machine"),
    PouchState.STUCK: mark("stuck"),
}

SENTENCE_LEVELS: Mapping[Sentence, str] = {
    Sentence.ALL_IN_LEDGER: "ok",
    Sentence.ALL_IN_LEDGER_OFFLINE: "info",
    Sentence.ON_THE_WAY: "info",
    Sentence.WAITING_FOR_BROKER: "warn",
    Sentence.WAITING_FOR_CENTRAL: "warn",
    Sentence.CENTRAL_REFUSED: "bad",
    Sentence.NOT_RECORDING: "bad",
}

PLAIN_SENTENCES: Mapping[Sentence, str] = {
    Sentence.ALL_IN_LEDGER: mark("Everything recorded here is in the ledger"),
    Sentence.ALL_IN_LEDGER_OFFLINE: mark(
        "Everything recorded here is in the ledger. No connection right now: work goes on"
    ),
    Sentence.CENTRAL_REFUSED: mark(
        "The central system does not accept the records of this device: call the IT department"
    ),
    Sentence.NOT_RECORDING: mark(
        "Nothing can be recorded, the disk of this computer fails: stop and call the IT department"
    ),
}

COUNTED_SENTENCES: Mapping[Sentence, tuple[str, str]] = {
    Sentence.ON_THE_WAY: mark_count(
        "%(num)d record is on its way to the ledger", "%(num)d records are on their way to the ledger"
    ),
    Sentence.WAITING_FOR_BROKER: mark_count(
        "%(num)d record is not in the ledger yet (for %(age)s), because the message broker is not reached:"
        " work goes on",
        "%(num)d records are not in the ledger yet (the oldest for %(age)s), because the message broker is not reached:"
        " work goes on",
    ),
    Sentence.WAITING_FOR_CENTRAL: mark_count(
        "%(num)d record is not in the ledger yet (for %(age)s), because the central system does not answer:"
        " work goes on",
        "%(num)d records are not in the ledger yet (the oldest for %(age)s), because the central system does not"
        " answer: work goes on",
    ),
}

TROUBLES: Mapping[Trouble, tuple[str, str]] = {
    Trouble.LOCK_GONE: (
        mark("The lock board does not answer"),
        mark("Check that it has power and that its cable is in. This page goes on by itself."),
    ),
    Trouble.LOCK_JAMMED: (
        mark("The door did not open"),
        mark("Press the door shut once, then try again. If it stays shut, call the engineer."),
    ),
    Trouble.DOOR_AJAR: (
        mark("The door is still open"),
        mark("Shut the door until the lock clicks. Reading starts by itself."),
    ),
    Trouble.READER_GONE: (
        mark("The tag reader does not answer"),
        mark("Check that it has power and that its cable is in. Leave the door shut: reading goes on by itself."),
    ),
    Trouble.NOT_STORED: (
        mark("The result is not recorded yet: the disk of this computer does not take it"),
        mark("Leave the door shut and call the IT department. It is tried again every second."),
    ),
}

STRAYS: Mapping[StrayKind, tuple[str, str]] = {
    StrayKind.FOREIGN: (mark("Foreign tag"), mark("Not a tag of this hospital. Take it out of the cabinet.")),
    StrayKind.UNKNOWN: (
        mark("Not in the records"),
        mark("Set it aside until its delivery note has arrived in the system."),
    ),
    StrayKind.ELSEWHERE: (mark("Belongs elsewhere"), mark("Bring it back to its own place.")),
    StrayKind.NOT_RECEIVED: (mark("Not received yet"), mark("Receive it with its delivery note.")),
    StrayKind.USED: (
        mark("Recorded as used"),
        mark("Set it aside and ask the head nurse: it was recorded for a patient."),
    ),
    StrayKind.BLOCKED: (mark("Out of circulation"), mark("Do not use it. Set it aside and tell the store keeper.")),
}

POUCH_TROUBLES: Mapping[PouchOutcome | None, tuple[str, str]] = {
    PouchOutcome.WASTED: (
        mark("Pouch wasted twice"),
        mark("Check the film and the printer of the machine, look after the unit, then make the pouch again."),
    ),
    PouchOutcome.JAMMED: (
        mark("Machine jammed twice"),
        mark("Open the machine, clear the jam, look after the unit, then make the pouch again."),
    ),
    PouchOutcome.UNKNOWN_PRODUCT: (
        mark("The machine does not know this product"),
        mark("Set up a canister for it at the machine, then make the pouch again."),
    ),
    PouchOutcome.EMPTY_CANISTER: (
        mark("Canister empty"),
        mark("Refill the canister from a pre-scanned box, then make the pouch again."),
    ),
    None: (
        mark("The machine refused the job"),
        mark("Read its message, mend it at the machine, then make the pouch again."),
    ),
}

RECALL_TROUBLES: Mapping[RecallTrouble, tuple[str, str]] = {
    RecallTrouble.NO_KEY: (
        mark("Recalls have arrived, but this computer has no recall key: they are not applied here"),
        mark("Check every package against the list by hand and call the IT department: recall_keys is missing."),
    ),
    RecallTrouble.FORGED: (
        mark("A recall list that the hospital did not sign was refused"),
        mark("The recalls known before stay in force. Call the IT department at once."),
    ),
}
