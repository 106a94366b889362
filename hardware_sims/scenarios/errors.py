"""What can end a play before its last act, split by where to look."""


class PlayError(Exception):
    """Root of what ends a play."""


class WaitedInVainError(PlayError):
    """A condition did not come true in time."""


class UnexpectedAnswerError(PlayError):
    """A program answered otherwise than what was done to it would have it."""
