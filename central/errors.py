"""What can go wrong at central, split by what the caller will do: correct it, come back later, call a person."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of ``codepool-central`` (sysexits.h where it has one)."""

    OK = 0
    LEDGER_CORRUPT = 65
    CONFIG_UNREADABLE = 66
    PORT_IN_USE = 69
    WOULD_OVERWRITE = 73
    DISK = 74
    DATA_FOLDER_HELD = 75
    LEDGER_NEWER = 76
    CONFIG_WRONG = 78


class CentralError(Exception):
    """Root of every error of ``central``."""


class RequestError(CentralError):
    """A request that cannot be done as it stands: which field, what was found, what was expected, what to do next."""

    def __init__(self, field: str, found: str, expected: str, advice: str = "") -> None:
        super().__init__(f"{field}: found {found}, expected {expected}" + (f"; {advice}" if advice else ""))
        self.field = field
        self.found = found
        self.expected = expected
        self.advice = advice


class InvalidError(RequestError):
    """The request is wrong in itself: correct it and send it again."""


class ConflictError(RequestError):
    """The request disagrees with what the ledger holds: a person must look at both."""


class NotFoundError(RequestError):
    """The request names something that the ledger does not hold."""


class ForbiddenError(RequestError):
    """Who asks may not do this: somebody else may."""


class BusyError(CentralError):
    """The ledger cannot take a change at the moment: nothing was changed, the same request may be sent again."""

    def __init__(self, cause: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(f"{cause}; try again in {retry_after_s:g} s")
        self.cause = cause
        self.retry_after_s = retry_after_s


class ConservationError(CentralError):
    """Units or rows would not add up after this commit. It was rolled back; a person must look."""


class StartError(CentralError):
    """Central cannot start or go on. The text fits one screen; ``exit_status`` is what the process ends with."""

    exit_status = Exit.CONFIG_WRONG


class ConfigError(StartError):
    """The configuration says something that cannot be."""


class ConfigUnreadableError(StartError):
    exit_status = Exit.CONFIG_UNREADABLE


class PortInUseError(StartError):
    exit_status = Exit.PORT_IN_USE


class DiskError(StartError):
    exit_status = Exit.DISK


class LedgerCorruptError(StartError):
    exit_status = Exit.LEDGER_CORRUPT


class OverwriteError(StartError):
    """A restore would take the place of a ledger that has something in it."""

    exit_status = Exit.WOULD_OVERWRITE


class LedgerNewerError(StartError):
    exit_status = Exit.LEDGER_NEWER


class DataFolderHeldError(StartError):
    exit_status = Exit.DATA_FOLDER_HELD
