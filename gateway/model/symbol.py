"""Trading-pair names: which are well-formed, and which dialects cannot name some of them.

The default pattern admits what exchanges list: capital letters, digits, `-` `_` `.` `/` (`BTC-USDT-SWAP`, `BTC/USDT`),
and the letters of other scripts (`币安人生USDT`), up to 50 characters, as Binance does since it lists such names.
It means the same in Python and in JSON Schema, where `\\w` is ASCII only.
"""

from __future__ import annotations

import re

DEFAULT_SYMBOL_PATTERN = r"[A-Z0-9._/\u00C0-\u1FFF\u3040-\uD7FF-]{1,50}"


class SymbolRule:
    """Says which names are well-formed; whether a well-formed symbol has data is the market's business."""

    __slots__ = ("_match", "pattern")

    def __init__(self, pattern: str = DEFAULT_SYMBOL_PATTERN) -> None:
        self.pattern = pattern
        self._match = re.compile(pattern).fullmatch

    def admits(self, symbol: str) -> bool:
        return self._match(symbol) is not None


def unnameable_in(symbol: str) -> list[str]:
    """Where clients cannot name this symbol, each as a clause for people; empty for most symbols."""
    clauses = []
    if ":" in symbol:
        clauses.append("native channels, where a colon separates the symbol from the interval")
    if symbol.lower().upper() != symbol:
        clauses.append("Binance streams, whose names are in lower case for symbols in upper case")
    if "/" in symbol:
        clauses.append("URLs of Binance streams, where / separates names: clients can send SUBSCRIBE instead")
    return clauses
