"""The life of a code: the facts about it, found without an index, each leading to the one before.

An item knows the ``last_position`` of its facts. A fact knows ``before``: JSON of the position of the fact before it in
the life of its codes, 0 where it is the first, and an object by code where its codes come from several.

::

    item  last_position ──► fact 907 ──before──► fact 412 ──before──► fact 3 ──before──► 0

An index of codes costs a page of the disk for each code of each fact; this costs none. What is said of a code that has
no item is on the work list: ``exception`` has its position.
"""

from collections.abc import Container, Sequence

import msgspec

FIRST = "0"
"""``before`` of a fact that is the first about its codes, or about none."""
_encode = msgspec.json.Encoder().encode


def follow(last: dict[str, int], position: int, codes: Sequence[str], stock: Container[str]) -> str:
    """``before`` of the fact at this position; ``last`` goes on to it for every code that has an item in ``stock``."""
    if len(codes) == 1:
        code = codes[0]
        before = last.get(code, 0)
        if code in stock:
            last[code] = position
        return str(before)
    befores = {code: last.get(code, 0) for code in codes}
    last.update(dict.fromkeys((code for code in codes if code in stock), position))
    different = set(befores.values())
    return str(different.pop()) if len(different) == 1 else _encode(dict(sorted(befores.items()))).decode()
