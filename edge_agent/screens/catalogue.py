"""Texts of the screens into their catalogue: ``python -m edge_agent.screens.catalogue`` after a text was changed.

It adds new texts to each ``edge.po`` for a person to translate, drops those that are gone and compiles ``edge.mo``.
"""

import datetime as dt
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TextIO, cast

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from edge_agent.screens.language import DOMAIN, HERE, LOCALES

_COUNTED = (1, 2)
_KEYWORDS = {"_": None, "mark": None, "text": None, "mark_count": _COUNTED, "count": _COUNTED, "ngettext": _COUNTED}
_METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
_OPTIONS = {"**/templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}


def extract() -> Catalog:
    """Every text that the screens can show."""
    catalogue = Catalog(project="codepool edge", charset="utf-8")
    found = extract_from_dir(HERE, _METHODS, _OPTIONS, keywords=_KEYWORDS)
    for _path, _line, text, _comments, context in found:
        catalogue.add(text, context=context)
    return catalogue


def read(path: Path) -> Catalog:
    with path.open(encoding="utf-8") as file:
        return read_po(cast("TextIO", file), locale=path.parts[-3])


def compiled(catalogue: Catalog) -> bytes:
    """The bytes of the .mo file."""
    buffer = BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def catalogues() -> Iterator[Path]:
    yield from sorted(LOCALES.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def untranslated(catalogue: Catalog) -> list[str]:
    """Texts without a translation, or with one that nobody has confirmed."""
    return [
        str(message.id) for message in catalogue if message.id and (message.fuzzy or not all(_strings(message.string)))
    ]


def _strings(text: str | list[str] | tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, list | tuple) else (text or "",)


def main() -> int:
    """Renew all catalogues; the status is 1 while a text waits for its translation."""
    waiting = 0
    for path in catalogues():
        catalogue = read(path)
        catalogue.update(extract(), no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        # When this ran last is of no use to anybody, and differs in every branch.
        assert isinstance(catalogue.revision_date, dt.datetime), "read from the file"
        catalogue.creation_date = catalogue.revision_date
        with path.open("wb") as file:
            write_po(file, catalogue, width=110, no_location=True, omit_header=False, sort_output=True)
        path.with_suffix(".mo").write_bytes(compiled(catalogue))
        for text in untranslated(catalogue):
            waiting += 1
            sys.stderr.write(f"{path}: no translation of {text!r}\n")
    return 1 if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
