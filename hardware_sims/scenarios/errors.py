"""What can end a play before its last act, split by where to look."""


class PlayError(Exception):
    """Root of what ends a play."""


class WaitedInVainError(PlayError):
    """A condition did not come true in time."""


class UnexpectedAnswerError(PlayError):
    """A program answered otherwise than what was done to it would have it."""


class SignedOutError(UnexpectedAnswerError):
    """Nobody is signed in there any more: whoever does nothing for long is signed out."""


def first_of(group: BaseExceptionGroup[BaseException], kinds: tuple[type[Exception], ...]) -> Exception | None:
    """The first error of a group, if all of them are of these kinds."""
    known, rest = group.split(kinds)
    found: BaseException | None = known if rest is None else None
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, Exception) else None
