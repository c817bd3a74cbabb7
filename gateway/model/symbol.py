"""Trading-pair names. The default pattern admits everything spot exchanges list (`1000SATSUSDT`, `BTCEUR`)."""

from __future__ import annotations

import re

DEFAULT_SYMBOL_PATTERN = r"[A-Z0-9]{2,20}"


class SymbolRule:
    """Says which names are well-formed; whether a well-formed symbol has data is the market's business."""

    __slots__ = ("_match", "pattern")

    def __init__(self, pattern: str = DEFAULT_SYMBOL_PATTERN) -> None:
        self.pattern = pattern
        self._match = re.compile(pattern).fullmatch

    def admits(self, symbol: str) -> bool:
        return self._match(symbol) is not None
