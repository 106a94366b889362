"""What the screens say of sheets of paper that are scanned back. Texts are catalogue keys, in English."""

from collections.abc import Mapping

from edge_agent.screens.wording import About, Say, mark
from edge_agent.workflows.verdicts import StepReason

PAPER_SENTENCES: Mapping[StepReason, Say] = {
    StepReason.NOTHING_TO_PRINT: Say(
        mark("No order waits here: there is nothing to print"),
        mark("Print a blank sheet."),
    ),
    StepReason.SHEET_GONE: Say(
        mark("This line is on no sheet that is known here"),
        mark("Scan the symbol of the sheet, at its top; then that of the line."),
        About.PLAIN,
    ),
    StepReason.NO_LINE_CHOSEN: Say(
        mark("No line is chosen"),
        mark("Scan the symbol of the line on the sheet; then the codes that are written there."),
    ),
    StepReason.TIME_WRONG: Say(
        mark("This cannot be when it happened"),
        mark("Enter day and time as they stand on the sheet: after it was printed, and not after now."),
        About.PLAIN,
    ),
    StepReason.UNKNOWN_PERSON: Say(
        mark("Nobody here has this number"),
        mark("Read the number on the sheet again. If it stands there so, record it all the same."),
        About.PLAIN,
    ),
    StepReason.CODES_MISSING: Say(
        mark("Not every package has its code"),
        mark("Scan or type the codes that are written there. What has none is looked into if you record it so."),
    ),
}
