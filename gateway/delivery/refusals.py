"""What the feed sends instead of usable data: messages refused since the last usable one, with an example. Pure.

Examples go into logs and to operators: they are shortened, and what looks like a secret is masked.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from gateway.delivery.staleness import StaleReason

if TYPE_CHECKING:
    from collections.abc import Iterable

EXAMPLE_CHARS = 80

_EXAMINED_BYTES = 400

_SECRET = re.compile(
    r"""(?ix) (?P<name> \b(?:[\w-]*(?:token|secret|passw(?:or)?d|api[_-]?key|authorization|signature)|jwt|auth)
                  ["']? \s* [:=] \s* ["']? (?:bearer\s+|basic\s+)? ) [^"',;&\s}]+
        | (?P<bearer> \bbearer\s+ ) \S+
        | (?P<jwt> \beyJ) [\w-]+ (?:\.[\w-]*)*
        | (?P<url> ://) [^/@\s]+ @"""
)


def example(payload: bytes) -> str:
    """A payload as one short line of ASCII text without secrets."""
    text = payload[:_EXAMINED_BYTES].decode("ascii", "backslashreplace")
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    text = _SECRET.sub(lambda found: f"{found['name'] or found['bearer'] or found['url'] or ''}***", text)
    return text if len(text) <= EXAMPLE_CHARS else f"{text[: EXAMPLE_CHARS - 3]}..."


class _Run:
    """Messages of one kind that were refused one after another."""

    __slots__ = ("name", "payload", "reasons")

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.name = ""
        self.payload = b""


class Refusals:
    """Runs of refused messages, one of tickers and one of klines; a usable message ends the run of its kind."""

    def __init__(self) -> None:
        self._prices, self._klines = _Run(), _Run()

    def refused(self, symbol: str, interval: str, payload: bytes, reason: str) -> None:
        """A message was refused; `interval`: "" for a ticker."""
        run = self._klines if interval else self._prices
        run.reasons[reason] += 1
        run.name, run.payload = f"{symbol[:20]} {interval or 'ticker'}", payload

    def price_usable(self) -> None:
        if self._prices.reasons:
            self._prices = _Run()

    def kline_usable(self) -> None:
        if self._klines.reasons:
            self._klines = _Run()

    def text(self, stale: StaleReason) -> str:
        """What was refused of the data that is stale for this reason; "" where nothing was.

        "248 of 248 messages refused: bad_json, for example BTCUSDT ticker {...".
        """
        runs = [run for run in self._of(stale) if run.reasons]
        reasons = sum((run.reasons for run in runs), Counter[str]())
        if not reasons:
            return ""
        total = reasons.total()
        names = [f"{reason} ({count:,})" if len(reasons) > 1 else reason for reason, count in reasons.most_common(3)]
        shown = f"{runs[0].name}: {example(runs[0].payload)}"
        return f"{total:,} of {total:,} messages refused: {', '.join(names)}, for example {shown}"

    def _of(self, stale: StaleReason) -> Iterable[_Run]:
        match stale:
            case StaleReason.MALFORMED:
                return self._prices, self._klines
            case StaleReason.PRICES:
                return (self._prices,)
            case StaleReason.KLINES:
                return (self._klines,)
        return ()
