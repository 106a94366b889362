"""What the screens say of readings that are not one code."""

from collections.abc import Mapping

from edge_agent.screens.wording import Say, mark
from sync_protocol.errors import CodeFlaw

_SCAN_TRACE_CODE = mark("Scan the drug trace code: 20 digits under a barcode, or the square symbol.")
_SCAN_AGAIN = mark("Scan again. If it comes back, type the digits printed under the symbol.")
_SET_ASIDE = mark("Set the package aside: its label is damaged or wrong. Tell the pharmacist in charge.")
_SCANNER_SUFFIX = mark("Scan again, one code at a time. If it comes back, set the scanner to end each code with CR.")
_SCANNER_LINE = mark("Scan again. If it comes back, check the scanner's cable and line speed.")
_SCANNER_TEXT = mark("Scan again. If it comes back, have the scanner set to plain ASCII text.")
_NEW_LABEL = mark("Read again. If it comes back, print a new label for this piece.")

CODE_SENTENCES: Mapping[CodeFlaw, Say] = {
    CodeFlaw.EMPTY: Say(mark("The scan was empty"), _SCAN_AGAIN),
    CodeFlaw.TOO_LONG: Say(mark("The scan is too long to be one code"), _SCANNER_SUFFIX),
    CodeFlaw.NUL: Say(mark("The scan contains zero bytes"), _SCANNER_LINE),
    CodeFlaw.BYTE_ORDER_MARK: Say(mark("The scan contains a byte order mark"), _SCANNER_TEXT),
    CodeFlaw.NOT_TEXT: Say(mark("The scan is not readable text"), _SCANNER_TEXT),
    CodeFlaw.FULL_WIDTH: Say(
        mark("The scan contains full-width characters"),
        mark("Switch the Chinese input method off, or have the scanner set to plain ASCII text; then scan again."),
    ),
    CodeFlaw.FOREIGN_DIGITS: Say(mark("The scan contains digits of another script"), _SCANNER_TEXT),
    CodeFlaw.CONTROL_CHARACTER: Say(mark("The scan contains control characters"), _SCANNER_LINE),
    CodeFlaw.BAD_CHARACTER: Say(mark("The code contains a character that no code has"), _SCAN_AGAIN),
    CodeFlaw.BAD_LENGTH: Say(mark("The code has the wrong number of digits"), _SCAN_AGAIN),
    CodeFlaw.BAD_CHECK_DIGIT: Say(mark("The check digit is wrong: the code was misread"), _SCAN_AGAIN),
    CodeFlaw.BAD_DATE: Say(mark("The label carries a date that does not exist"), _SET_ASIDE),
    CodeFlaw.OUT_OF_RANGE: Say(mark("A number in the code is out of range"), _SET_ASIDE),
    CodeFlaw.GLUED: Say(mark("More than one code in one scan"), _SCANNER_SUFFIX),
    CodeFlaw.AMBIGUOUS_GS: Say(
        mark("The scanner lost a separator: lot and serial cannot be told apart"),
        mark("Scan the 20-digit trace code instead, and have the scanner set to send the GS character."),
    ),
    CodeFlaw.HUMAN_READABLE: Say(
        mark("The scanner sends brackets instead of raw data"),
        mark("Have the scanner set to send raw data; or type the text by hand."),
    ),
    CodeFlaw.NOT_A_TRACE_CODE: Say(mark("This is a product or shipping barcode, not a trace code"), _SCAN_TRACE_CODE),
    CodeFlaw.NO_GTIN: Say(mark("The symbol carries no product number"), _SCAN_TRACE_CODE),
    CodeFlaw.NO_CODE_IN_URL: Say(mark("This web address carries no trace code"), _SCAN_TRACE_CODE),
    CodeFlaw.INCOMPLETE: Say(
        mark("The code is incomplete"),
        mark("Scan again and hold still. Some packages carry two symbols: scan the other one, too."),
    ),
    CodeFlaw.WRONG_COUNTRY: Say(mark("The code was issued for another country"), _SCAN_TRACE_CODE),
    CodeFlaw.UNTAGGED: Say(mark("This tag was never written"), mark("Print and attach the label of the piece first.")),
    CodeFlaw.BAD_PARTITION: Say(mark("The tag was written wrongly"), _NEW_LABEL),
    CodeFlaw.NOT_AN_ITEM: Say(
        mark("This is the tag of a person or a place"), mark("Scan the code of the drug or the consumable.")
    ),
    CodeFlaw.KEY_CLASH: Say(mark("This number could be taken for another code"), _NEW_LABEL),
    CodeFlaw.BAD_AIM: Say(
        mark("The scanner sends a wrong symbology identifier"),
        mark("Scan again. If it comes back, have the scanner set to send AIM identifiers, or none."),
    ),
    CodeFlaw.UNKNOWN_FORM: Say(mark("This is not a code that can be traced"), _SCAN_TRACE_CODE),
}
