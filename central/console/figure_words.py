"""The words of the indicators and of the insurer's board."""

from collections.abc import Mapping

from central.console.message import message
from central.indicators.axis import Step
from central.indicators.report import Indicator
from central.indicators.scans import Slip

INSURER_ADVICE: Mapping[str, str] = {
    "waiting": message("It is sent by itself."),
    "unknown": message("It is asked about by itself and never sent twice; ask now if you cannot wait."),
    "refused": message("Correct what the platform names where it comes from, then send it again."),
    "exempt": message("Self-pay: no insurer is told, so nothing is missing."),
}
INSURER_KINDS: Mapping[str, str] = {"sale": message("sale"), "return": message("return")}
CAUSES: Mapping[str, tuple[str, str]] = {
    "not sent: product": (
        message("not sent: the product is not in the catalogue"),
        message("Send the product to the catalogue, then send the row again."),
    ),
    "not sent: med_list_codg": (
        message("not sent: the product has no insurance code"),
        message("Give the product its insurance code in the master data, then send the row again."),
    ),
    "not sent: fixmedins_hilist_id": (
        message("not sent: the product has no usable hospital code"),
        message("Correct the hospital code of the product in the master data, then send the row again."),
    ),
    "not sent: fixmedins_hilist_name": (
        message("not sent: the name of the product is missing or too long"),
        message("Correct the name of the product in the master data, then send the row again."),
    ),
    "not sent: prsc_dr_name": (
        message("not sent: the order names no prescriber"),
        message("The hospital system sends orders with their prescriber: report this order by hand, correct the rest."),
    ),
    "not sent: mdtrt_sn": (
        message("not sent: the order names no visit"),
        message("The hospital system sends orders with their visit: report this order by hand, correct the rest."),
    ),
    "not sent: manu_lotnum": (
        message("not sent: the lot number is missing or too long"),
        message("Compare the lot with its delivery note and report this box by hand."),
    ),
    "not sent: manu_date": (
        message("not sent: the date of manufacture is missing"),
        message("Ask the supplier for delivery notes with the date of manufacture; report this box by hand."),
    ),
    "not sent: rtal_docno": (
        message("not sent: it was handed out without an order"),
        message("Find the order that it was for and report this box by hand."),
    ),
    "not sent: sel_retn_opter_name": (
        message("not sent: the name of the person is too long"),
        message("Correct the name of the person in the master data, then send the row again."),
    ),
    "central was restarted while the row was sent": (message("central was restarted while the row was sent"), ""),
    "the ledger was restored: it may have been sent before": (
        message("the ledger was restored: it may have been sent before"),
        "",
    ),
    "its sale was refused": (
        message("its sale was refused"),
        message("Correct its sale and send that again; the return follows by itself."),
    ),
    "its sale is not accepted yet": (
        message("its sale is not accepted yet"),
        message("The return is sent by itself once its sale is accepted."),
    ),
    "a return is not accepted yet": (
        message("an earlier return of this box is not accepted yet"),
        message("The sale is sent by itself once that return is accepted."),
    ),
    "the platform does not have it: sent again": (message("the platform does not have it: sent again"), ""),
}
"""Causes of central's own for a row that the insurer does not have, each with what to do where it was refused."""
NO_ANSWERS: Mapping[str, str] = {
    ": no connection: ": message("the platform cannot be reached"),
    ": turned away with status ": message("the gateway of the platform turned it away"),
    ": no answer: ": message("the platform did not answer"),
    ": status ": message("the platform had a fault"),
    ": the answer cannot be read: ": message("the answer of the platform cannot be read"),
}
"""What the connector says behind the address of the platform."""
INDICATORS: Mapping[str, str] = {
    Indicator.UPLOAD: message("Upload rate"),
    Indicator.STOCKTAKE: message("Stocktake error"),
    Indicator.ERRORS: message("Dispensing errors a day"),
    Indicator.LONG_TERM: message("Dispensing time, long-term orders"),
    Indicator.STAT: message("Dispensing time, stat orders"),
    Indicator.DISCHARGE: message("Dispensing time, discharge orders"),
}
BASES: Mapping[str, str] = {
    Indicator.UPLOAD: message("units billed"),
    Indicator.STOCKTAKE: message("items counted or missing"),
    Indicator.ERRORS: message("days with hand-outs"),
    Indicator.LONG_TERM: message("orders"),
    Indicator.STAT: message("orders"),
    Indicator.DISCHARGE: message("orders"),
}
"""What an indicator rests on."""
SLIPS: Mapping[str, str] = {
    Slip.LATE: message("scanned late"),
    Slip.UNSCANNED: message("not scanned"),
    Slip.FORCED: message("forced"),
}
STEPS: Mapping[str, str] = {
    Step.DAY: message("day by day"),
    Step.WEEK: message("week by week"),
}
