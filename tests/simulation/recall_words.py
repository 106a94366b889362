"""What the simulator knows of recalls: who holds which word, by its own account (I5)."""

from collections.abc import Iterable, Mapping

import msgspec

from sync_protocol.facts import Fact, What
from sync_protocol.recalls import Recall, RecallSet

_FORBIDDEN = {What.PRESCANNED, What.LOCKED, What.DISPENSED, What.TAKEN, What.TRANSFERRED_OUT}


def last_words(sets: Iterable[RecallSet]) -> dict[str, Recall]:
    """By recall, what was said of it last; between equals the word that recalls."""
    words: dict[str, Recall] = {}
    for word in sorted((word for each in sets for word in each.recalls), key=lambda one: (one.version, one.is_active)):
        words[word.id] = word
    return words


def forbidden(fact: Fact, words: Mapping[str, Recall], lots: Mapping[str, str]) -> str:
    """Which recall forbids the fact; empty: none does. ``lots``: by box."""
    if fact.what not in _FORBIDDEN:
        return ""
    for code in fact.codes:
        for word in words.values():
            box = code.partition("#")[0]
            is_covered = bool({code, box} & set(word.codes)) if word.codes else lots.get(box) == word.lot
            if word.is_active and is_covered:
                return word.id
    return ""


class Held(msgspec.Struct):
    """The recall sets that were seen on one disk: a device that named a version holds what that version says."""

    sets: dict[int, RecallSet] = {}
    words: dict[str, Recall] = {}

    @property
    def version(self) -> int:
        return max(self.sets, default=0)

    def add(self, recalls: RecallSet) -> None:
        self.sets[recalls.version] = recalls
        self.words = last_words(self.sets.values())

    def image(self) -> "Held":
        return Held(sets=dict(self.sets), words=dict(self.words))
