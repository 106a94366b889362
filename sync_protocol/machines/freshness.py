"""Whether a signed message is news, or an old one that a broker says again (REQ-09, fault 24).

Nothing that is said twice is done twice: facts have their numbers, deltas their cursor. But whoever is silent must not
seem alive because old words of his are repeated, nor may they undo what he said since.
"""

import msgspec


class _Heard(msgspec.Struct, kw_only=True):
    stream: bytes
    number: int


class Freshness:
    """Of many senders: the highest number heard of the stream that each is known to use now."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}

    def is_other(self, sender: str, stream: bytes) -> bool:
        """Whether the sender is known to use another stream now."""
        known = self._heard.get(sender)
        return known is not None and known.stream != stream

    def heard(self, sender: str, stream: bytes) -> int:
        """The highest number heard of a stream that the sender is known to use now, else 0."""
        known = self._heard.get(sender)
        return known.number if known is not None and known.stream == stream else 0

    def is_news(self, sender: str, stream: bytes, number: int, *, begins: bool = False) -> bool:
        """Whether the message may count, and note it. ``begins``: it opens a stream that was never heard before.

        A sender that nothing is known of (the receiver has just started) may go on with any stream.
        """
        known = self._heard.get(sender)
        if known is None or (begins and known.stream != stream):
            self._heard[sender] = _Heard(stream=stream, number=number)
            return True
        if known.stream != stream or number <= known.number:
            return False
        known.number = number
        return True
