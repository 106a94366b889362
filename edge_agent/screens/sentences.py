"""What the screens say: for every reason a sentence and what to do about it. Texts are catalogue keys, in English."""

from collections.abc import Mapping

from edge_agent.people import SignInFlaw
from edge_agent.screens.sentences_of_codes import CODE_SENTENCES
from edge_agent.screens.sentences_of_paper import PAPER_SENTENCES
from edge_agent.screens.wording import About, Say, mark
from edge_agent.workflows.verdicts import StepReason
from sync_protocol.lifecycle import Reason

_LIFECYCLE: Mapping[Reason, Say] = {
    Reason.UNKNOWN_CODE: Say(
        mark("This code is not in the hospital's records"),
        mark("Set the package aside. Check that its delivery note has arrived in the system."),
    ),
    Reason.ALREADY_KNOWN: Say(
        mark("This code was announced before"),
        mark("If a second package carries the same code, set both aside and tell the pharmacist in charge."),
    ),
    Reason.ALREADY_RECEIVED: Say(
        mark("This package was received before"),
        mark("Put it in its place and scan the next one."),
    ),
    Reason.ALREADY_OPENED: Say(
        mark("This box was pre-scanned before"),
        mark("Its units are in the code pool already. Scan the next box."),
    ),
    Reason.ALREADY_DISPENSED: Say(
        mark("This package was handed out before"),
        mark("Do not hand it out again. If a patient brought it back, register the return first, under More."),
    ),
    Reason.WRONG_KIND: Say(
        mark("This step needs another kind of code"),
        mark("Scan the trace code on the sales box."),
        About.KIND,
    ),
    Reason.WRONG_STATE: Say(
        mark("This package is not ready for this step"),
        mark("Do the step before this one first: receive it, or put it back where it belongs."),
        About.STATE,
    ),
    Reason.WRONG_PRODUCT: Say(
        mark("The product does not agree"),
        mark("Put this box back and take one of the expected product."),
        About.PRODUCT,
    ),
    Reason.WRONG_ORDER: Say(
        mark("This box is not the one set aside for this order"),
        mark("Put it back and scan the box that is named here."),
        About.CODES,
    ),
    Reason.WRONG_DOCUMENT: Say(
        mark("This package belongs to another document"),
        mark("Set it aside and open the document that it belongs to."),
        About.PLAIN,
    ),
    Reason.EXPIRED: Say(
        mark("Expired"),
        mark("Take it off the shelf and register it under More, Damage."),
        About.EXPIRY,
    ),
    Reason.FROZEN: Say(
        mark("Frozen: recalled or under inquiry"),
        mark("Do not use it. Put it into quarantine and tell the pharmacist in charge."),
    ),
    Reason.RECALLED: Say(
        mark("Recalled: do not use it"),
        mark("Put it into quarantine, whatever the order says, and tell the pharmacist in charge."),
        About.RECALL,
    ),
    Reason.OLD_COPY: Say(
        mark("Not now: this computer's copy of the ledger is too old for this product"),
        mark("Ask the pharmacist in charge. It is possible again as soon as this place is connected."),
    ),
    Reason.OLD_COPY_SECOND_PERSON: Say(
        mark("This computer's copy of the ledger is old: a second person must confirm"),
        mark("Ask a colleague to enter their own number and PIN at the order, then confirm."),
    ),
    Reason.OUT_FOR_GOOD: Say(
        mark("Out of circulation for good"),
        mark("Do not use it. Put it into quarantine and tell the pharmacist in charge."),
    ),
    Reason.NOT_BOUND: Say(
        mark("This loan is not bound to an order yet"),
        mark("Bind it to its order at the console, then try again."),
    ),
    Reason.SECOND_PERSON: Say(
        mark("Controlled drug: a second person must confirm"),
        mark("Ask a colleague to enter their own number and PIN at the order, then confirm."),
    ),
    Reason.LEASED: Say(
        mark("Another workplace may be handing this out"),
        mark("Take another package, or hand it out there. In an emergency: reason and second person at the order."),
        About.PLAIN,
    ),
    Reason.NOT_LEASED: Say(
        mark("This may not be handed out here while central cannot be asked"),
        mark("Wait for the connection. In an emergency: enter the reason and a second person at the order."),
    ),
    Reason.NO_EMERGENCY: Say(
        mark("An emergency needs a reason and a second person"),
        mark("Enter why it cannot wait; a colleague enters their own number and PIN. Then confirm."),
    ),
    Reason.ISSUED_TWICE: Say(
        mark("This was handed out before, at another workplace"),
        mark("Do not hand it out again. Set the package aside and tell the pharmacist in charge."),
    ),
    Reason.OVERTAKEN: Say(
        mark("Others had this out before this step was known"),
        mark("Look where it is now, and tell the pharmacist in charge."),
    ),
}

_STEPS: Mapping[StepReason, Say] = {
    StepReason.NOBODY_SIGNED_IN: Say(
        mark("Nobody is signed in: the scan was not recorded"),
        mark("Sign in with your number and PIN, or scan your badge; then scan again."),
    ),
    StepReason.NAMES_NO_ITEM: Say(
        mark("This code names a product, not this one package"),
        mark("Scan the other symbol of the package: the one with a serial number, or the 20-digit trace code."),
    ),
    StepReason.NO_NOTE_CHOSEN: Say(
        mark("No delivery note is chosen"),
        mark("Choose the delivery note from the list, or scan its number; then scan the boxes."),
    ),
    StepReason.NOTE_GONE: Say(
        mark("This delivery note is not open here"),
        mark("It was received already, or is for another place. Choose one from the list."),
        About.PLAIN,
    ),
    StepReason.NOT_ON_NOTE: Say(
        mark("This package is not on this delivery note"),
        mark("Set it aside as extra; it can be received with the note that it belongs to."),
        About.PLAIN,
    ),
    StepReason.PACK_UNKNOWN: Say(
        mark("Too many outer packs wait for their relation"),
        mark("Scan the boxes one by one, or wait until the code platform has answered."),
    ),
    StepReason.REASON_MISSING: Say(
        mark("A reason is needed to accept a note that differs"),
        mark("Write what is missing or different and why it is accepted, then confirm again."),
    ),
    StepReason.NOTHING_SCANNED: Say(
        mark("Nothing of this note was scanned yet"),
        mark("Scan what is here first: only what was scanned can be accepted."),
    ),
    StepReason.WRONG_LOT: Say(
        mark("The lot does not agree with the records"),
        mark("Set the package aside and tell the pharmacist in charge: label and delivery note differ."),
        About.PLAIN,
    ),
    StepReason.WRONG_EXPIRY: Say(
        mark("The expiry date does not agree with the records"),
        mark("Set the package aside and tell the pharmacist in charge: label and delivery note differ."),
        About.PLAIN,
    ),
    StepReason.NOT_SPLIT: Say(
        mark("Whole-box drug: no pre-scan needed"),
        mark("Put the box straight into its bin. It is scanned when it is handed out."),
    ),
    StepReason.UNKNOWN_PRODUCT: Say(
        mark("The catalogue here lacks this product"),
        mark("Wait for the next synchronisation, or ask the pharmacist in charge to add it to the catalogue."),
        About.PLAIN,
    ),
    StepReason.ELSEWHERE: Say(
        mark("This package is booked at another place"),
        mark("Bring it back there, or have it transferred here first."),
        About.PLAIN,
    ),
    StepReason.NO_ORDER_CHOSEN: Say(
        mark("This box is not locked to an order"),
        mark("Choose an order from the list first; for a box that was not pre-scanned use Late scan."),
    ),
    StepReason.ORDER_GONE: Say(
        mark("This order is not open here"),
        mark("It was handed out or cancelled meanwhile. Choose the next one from the list."),
        About.PLAIN,
    ),
    StepReason.NEEDS_NO_SCAN: Say(
        mark("This order needs no scan"),
        mark("Its units are locked already. Press Hand out."),
    ),
    StepReason.SCAN_MISSING: Say(
        mark("Not every package was scanned"),
        mark("No scan, no go: scan the packages that are still missing."),
        About.CODES,
    ),
    StepReason.NOT_OUT: Say(
        mark("This package was not handed out or lent: it cannot come back"),
        mark("If it lies outside its place, put it there. Look it up under More."),
        About.STATE,
    ),
    StepReason.UNITS_OF_ORDER: Say(
        mark("An opened box: its units come back to the order that they were for"),
        mark("Choose the order from the list, or scan its number; then say how many."),
    ),
    StepReason.PICK_GONE: Say(
        mark("Nothing of it is left for this step"),
        mark("Somebody was quicker, or it was booked elsewhere meanwhile. Look it up under More."),
        About.CODES,
    ),
    StepReason.WRONG_QUANTITY: Say(
        mark("So many are not there"),
        mark("Count again and choose a number within the range."),
        About.PLAIN,
    ),
    StepReason.LOCKED_AWAY: Say(
        mark("This package is locked to a patient's order"),
        mark("Take one that is free. If there is none, ask the pharmacist in charge."),
        About.PLAIN,
    ),
    StepReason.NO_WARD_CHOSEN: Say(
        mark("No ward is chosen"),
        mark("Choose the ward that borrows; then scan."),
    ),
    StepReason.NO_HARM_CHOSEN: Say(
        mark("It was not said what is wrong"),
        mark("Choose what is wrong; then scan."),
    ),
    StepReason.NO_TRANSFER_CHOSEN: Say(
        mark("No requisition is chosen"),
        mark("Choose from the list what is to be issued, or scan its number; then scan the packages."),
    ),
    StepReason.TRANSFER_GONE: Say(
        mark("Nothing more of it is to be issued here"),
        mark("It was issued, closed or is for another place. Choose one from the list."),
        About.PLAIN,
    ),
    StepReason.NOT_ASKED_FOR: Say(
        mark("This product was not asked for"),
        mark("Put it back. If it should go too, have it asked for at the console."),
        About.PRODUCT,
    ),
    StepReason.LINE_FULL: Say(
        mark("All that was asked for of this product was issued"),
        mark("Put it back. If more should go, have it asked for at the console."),
        About.PLAIN,
    ),
    StepReason.NOT_ISSUED: Say(
        mark("Nobody has issued this package by a scan"),
        mark("Choose the requisition that it came with and scan it again: two people then take it in."),
        About.PLAIN,
    ),
    StepReason.ON_ITS_WAY_ELSEWHERE: Say(
        mark("This package is on its way to another place"),
        mark("Set it aside and have it brought there."),
        About.PLAIN,
    ),
    StepReason.WHY_MISSING: Say(
        mark("It must be said why"),
        mark("Write in a few words what happened, then confirm again."),
    ),
    StepReason.TWO_PEOPLE: Say(
        mark("A second person must confirm"),
        mark("Ask a colleague to enter their own number and PIN here, then confirm."),
    ),
    StepReason.NO_PLACE_CHOSEN: Say(
        mark("No place is chosen"),
        mark("Choose the place that is counted; then scan."),
    ),
    StepReason.OBJECTS_MISSING: Say(
        mark("The objects of a product were not counted"),
        mark("Enter how many are there by hand of each product that you scanned; 0 where there is none."),
    ),
    StepReason.NO_CODE_IN_PICTURE: Say(
        mark("No code was found in this picture"),
        mark("Go nearer, keep the codes flat and in focus, avoid glare; or scan them one by one."),
        About.PLAIN,
    ),
    StepReason.NOT_A_PICTURE: Say(
        mark("This file cannot be read as a picture"),
        mark("Take the picture again as JPEG or PNG."),
        About.PLAIN,
    ),
    StepReason.PICTURE_ELSEWHERE: Say(
        mark("In this step every code is scanned by itself"),
        mark("Pictures are read where goods come in: under Receive and Pre-scan."),
    ),
    StepReason.PICTURE_TOO_LARGE: Say(
        mark("This picture is too large"),
        mark("Take it with a lower resolution, or of fewer boxes."),
        About.PLAIN,
    ),
    StepReason.NOT_STORED: Say(
        mark("Not recorded: the disk of this computer does not take it"),
        mark("Nothing has happened yet. Call the IT department and scan again when it is mended."),
    ),
    StepReason.NOTHING_TO_UNDO: Say(
        mark("This cannot be undone here any more"),
        mark("Only your own last hand-out or loan at this seat, within 10 minutes. Register the return, under More."),
    ),
    StepReason.TOO_FEW_DIGITS: Say(
        mark("These are too few digits"),
        mark("Type at least the last six that are printed under the code, without brackets and blanks."),
        About.PLAIN,
    ),
    StepReason.NONE_ENDS_SO: Say(
        mark("No package here has a code that ends like this"),
        mark("Compare the digits. If none can be read, set it aside: a stocktake shows which one is missing."),
        About.PLAIN,
    ),
    StepReason.SEVERAL_END_SO: Say(
        mark("Several packages here have codes that end like this"),
        mark("Type more of the digits in front of these."),
        About.PLAIN,
    ),
    StepReason.CABINET_BUSY: Say(
        mark("The cabinet is in use"),
        mark("Wait until the reading has ended."),
        About.PLAIN,
    ),
    StepReason.POUCH_GONE: Say(
        mark("This pouch is not waiting any more"),
        mark("Look at the list again: it was made meanwhile, or its order was cancelled."),
    ),
}

_SIGN_IN: Mapping[SignInFlaw, Say] = {
    SignInFlaw.WRONG: Say(
        mark("Number or PIN is wrong"), mark("Try again. After five wrong PINs the number is locked for a while.")
    ),
    SignInFlaw.LOCKED: Say(
        mark("Locked after too many wrong PINs"), mark("Wait for the time shown here, or use your badge.")
    ),
    SignInFlaw.UNKNOWN_BADGE: Say(
        mark("This badge is not known"), mark("Sign in with your number and PIN, or ask the administrator.")
    ),
    SignInFlaw.INACTIVE: Say(
        mark("This person may not sign in any more"), mark("Ask the administrator if this is a mistake.")
    ),
}

SENTENCES: Mapping[str, Say] = {
    str(reason): say
    for sentences in (_LIFECYCLE, _STEPS, _SIGN_IN, CODE_SENTENCES, PAPER_SENTENCES)
    for reason, say in sentences.items()
}
_UNKNOWN = Say(mark("Refused"), mark("Set it aside and tell the pharmacist in charge."))


def sentence(reason: str) -> Say:
    """The sentence of a reason; a general one for a reason of newer software."""
    return SENTENCES.get(reason, _UNKNOWN)
