"""A simulated serial barcode scanner: what a person does with it, and what goes wrong with it."""

import asyncio
from types import MappingProxyType

from drivers.wire.scanner import Profile, Suffix, encode
from hardware_sims.serve import Cable

AIM_OF_SYMBOLOGY = MappingProxyType(
    {
        "code128": "]C0",
        "gs1-128": "]C1",
        "datamatrix": "]d1",
        "gs1-datamatrix": "]d2",
        "qr": "]Q1",
        "gs1-qr": "]Q3",
        "ean13": "]E0",
        "code39": "]A0",
    }
)


class SimScanner:
    """Plug it in as ``PtyPort(path, scanner.talk)``. It scans once a cable is plugged in, and waits for that."""

    def __init__(self, *, profile: Profile | None = None, sends_aim: bool = False) -> None:
        self.profile = profile or Profile(suffix=Suffix.CR)
        self._sends_aim = sends_aim
        self._cable: Cable | None = None
        self._plugged = asyncio.Event()

    async def talk(self, cable: Cable) -> None:
        self._cable = cable
        self._plugged.set()
        try:
            while await cable.read():
                pass  # the host may send triggers: this scanner is held by a person
        finally:
            self._cable = None
            self._plugged.clear()

    async def scan(self, code: str | bytes, *, symbology: str = "gs1-datamatrix", aim: str | None = None) -> None:
        """Scan one code; the identifier of its symbology goes first if the scanner is set up so, or as ``aim`` says."""
        if aim is None:
            aim = AIM_OF_SYMBOLOGY[symbology] if self._sends_aim else ""
        await self.send(encode(_bytes(code), self.profile, aim=aim))

    async def scan_glued(self, *codes: str | bytes) -> None:
        """Scan codes whose suffixes were lost, but for the last one's."""
        await self.send(encode(b"".join(map(_bytes, codes)), self.profile))

    async def scan_partly(self, code: str | bytes, *, length: int) -> None:
        """Send only the first bytes of a code."""
        await self.send(self.profile.prefix + _bytes(code)[:length])

    async def send(self, data: bytes) -> None:
        """Send any bytes, for the faults that have no name."""
        await self._plugged.wait()
        if self._cable is None:
            raise ConnectionResetError("the scanner was unplugged")
        await self._cable.write(data)


def _bytes(code: str | bytes) -> bytes:
    return code.encode() if isinstance(code, str) else code
