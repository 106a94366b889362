"""Stands in for ``central.stock.recalls.Recalls``, which freezes what it recalls: here is only the signed set."""

from collections.abc import Callable

from sync_protocol.recalls import SignedRecalls


class RecallOffice:
    def __init__(self) -> None:
        self.signed: SignedRecalls | None = None

    @property
    def version(self) -> int:
        return self.signed.version if self.signed else 0

    def listen(self, _listener: Callable[[SignedRecalls], None]) -> None:
        """No set changes while central runs."""

    async def adopt(self, signed: SignedRecalls, _device: str) -> bool:
        """Take what an agent gives back."""
        is_news = signed.version > self.version
        if is_news:
            self.signed = signed
        return is_news
