"""What the exchange does wrong at present, and what it has counted. Changed by a test or a run while it serves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

RestFault = Literal["", "error", "garbage", "empty", "part", "silent", "cut"]
"""`error`: 503; `garbage`: no JSON; `empty`: no rows; `part`: the first half of the rows; `silent`: no answer at all;
`cut`: the connection ends in the middle of an answer."""


@dataclass
class Faults:
    """All off at first."""

    rest: RestFault = ""
    """What becomes of questions for klines."""
    weight_limit: int = 6000
    """Weight a minute; above it questions are answered with 429, and with 418 for whoever goes on."""
    late_s: float = 0.0
    """Closed klines are streamed so much later, after newer states."""
    loses_closes: bool = False
    """Closed klines are not streamed at all."""
    doubles: bool = False
    """Everything is streamed twice."""
    garbage: bool = False
    """A message that nobody can read before each closed kline, and one from the far future."""
    frozen: bool = False
    """Streams stand still, in both directions; connections stay open."""
    mute: bool = False
    """New subscriptions are acknowledged, and stay silent."""
    unlisted: frozenset[str] = frozenset()
    """Symbols that the exchange does not list, and does not stream."""


@dataclass
class Counts:
    """Since the start."""

    connections: int = 0
    """WebSocket connections opened."""
    statuses: Counter[int] = field(default_factory=Counter)
    """REST answers by status."""
    peak_weight: int = 0
    """Most weight used in one minute."""
    ignored_silence: int = 0
    """Questions that came while the exchange had asked for silence."""
    subscriptions: int = 0
    """Commands to subscribe."""
