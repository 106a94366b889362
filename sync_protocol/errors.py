"""What can be wrong with words of the shared language, split by what the caller will do about it."""


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
