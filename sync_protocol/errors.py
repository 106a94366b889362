"""What can be wrong with words of the shared language, split by what the caller will do about it."""

from enum import StrEnum


class ProtocolError(Exception):
    """Root of every error of ``sync_protocol``."""


class FactError(ProtocolError):
    """A fact that cannot be: a field has a value that no fact may have."""

    def __init__(self, field: str, found: str, expected: str) -> None:
        super().__init__(f"{field}: found {found}, expected {expected}")
        self.field = field
        self.found = found
        self.expected = expected


class WireError(ProtocolError):
    """Bytes from the other side that are not a message of a version that we speak."""


class ChainError(ProtocolError):
    """Facts that do not follow from the ones before: a gap, an edit or a fork."""


class CodeFlaw(StrEnum):
    """Why a reading is not one code. Each has its own name, so that screens, tests and the scanner doctor can tell."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    NUL = "nul"
    BYTE_ORDER_MARK = "byte_order_mark"
    NOT_TEXT = "not_text"
    FULL_WIDTH = "full_width"
    FOREIGN_DIGITS = "foreign_digits"
    CONTROL_CHARACTER = "control_character"
    BAD_CHARACTER = "bad_character"
    BAD_LENGTH = "bad_length"
    BAD_CHECK_DIGIT = "bad_check_digit"
    BAD_DATE = "bad_date"
    OUT_OF_RANGE = "out_of_range"
    GLUED = "glued"
    AMBIGUOUS_GS = "ambiguous_gs"
    HUMAN_READABLE = "human_readable"
    NOT_A_TRACE_CODE = "not_a_trace_code"
    NO_GTIN = "no_gtin"
    NO_CODE_IN_URL = "no_code_in_url"
    INCOMPLETE = "incomplete"
    WRONG_COUNTRY = "wrong_country"
    UNTAGGED = "untagged"
    BAD_PARTITION = "bad_partition"
    NOT_AN_ITEM = "not_an_item"
    KEY_CLASH = "key_clash"
    BAD_AIM = "bad_aim"
    UNKNOWN_FORM = "unknown_form"


class CodeRefused(ProtocolError):  # noqa: N818 -- a refusal is an answer to the person at the scanner, not a fault
    """A reading that is not exactly one code. The caller shows it and waits for the next scan."""

    def __init__(self, reason: CodeFlaw, *, found: str, expected: str, advice: str) -> None:
        super().__init__(f"{reason}: found {found}, expected {expected}; {advice}")
        self.reason = reason
        self.found = found
        self.expected = expected
        self.advice = advice
