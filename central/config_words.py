"""How a mistake in the configuration is told."""

import difflib
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit


def url_mistakes(where: str, url: str, schemes: tuple[str, ...], example: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_sound = False
    if not is_sound:
        yield f"{where}: found {url!r}, expected an address as {example}"


def like(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
