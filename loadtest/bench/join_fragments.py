"""How should a client's fragments be picked out of a beat's sheet and joined?

One sheet of 300 fragments per beat, a client's 100 places in it, half of them empty this time. Compared: a generator
that filters, a list comprehension, `operator.itemgetter` made once per set of places (it picks in C), and no picking at
all because the joined bytes are shared by everybody with the same set. Per operation: one client's body.
"""

from __future__ import annotations

import random
from operator import itemgetter

from loadtest.bench.runner import Case

_CLIENTS = 2000
_FRAGMENT = b',[123,{"c":12345678.1234,"v":431234.18500,"q":125012345678.123450,"p":1234.1234,"P":1.1234,"n":811234}]'

_draw = random.Random(1)
_SHEET = [_FRAGMENT if place % 2 else b"" for place in range(300)]
_PLACES = [sorted(_draw.sample(range(300), 100)) for _ in range(_CLIENTS)]
_GETTERS = [itemgetter(*log_offsets) for log_offsets in _PLACES]


def _generator() -> Case:
    def work() -> None:
        for log_offsets in _PLACES:
            b"".join(_SHEET[place] for place in log_offsets if _SHEET[place])

    return Case(work, _CLIENTS)


def _comprehension() -> Case:
    def work() -> None:
        for log_offsets in _PLACES:
            b"".join([_SHEET[place] for place in log_offsets])

    return Case(work, _CLIENTS)


def _getter() -> Case:
    def work() -> None:
        for getter in _GETTERS:
            b"".join(getter(_SHEET))

    return Case(work, _CLIENTS)


def _shared() -> Case:
    def work() -> None:
        body = b"".join(_GETTERS[0](_SHEET))
        for _ in _GETTERS:
            bytes(body)

    return Case(work, _CLIENTS)


CASES = {
    "generator with a filter": _generator,
    "list comprehension": _comprehension,
    "itemgetter": _getter,
    "joined once, shared": _shared,
}
