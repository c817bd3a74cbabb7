"""What the settings do not admit among the names of channels and keys: counts by reason, and a few examples. Pure.

A collector may write more than is served, or name it otherwise. `contract.py` decides; this only keeps what people need
to see that: `ops/refused.py` tells them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SYMBOL = "symbol"
"""`market.symbol_pattern` does not admit the symbol."""

INTERVAL = "interval"
"""The interval is not served, or not taken from the collector (`market.intervals`, `market.stored`)."""

REASONS = (SYMBOL, INTERVAL)

EXAMPLES_MAX = 3
"""Names kept for each reason: enough to recognise how the collector names things."""

EXAMPLE_CHARS = 80


class NameRefusals:
    """The refused names of one source. Its memory does not depend on how many names there are."""

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        """Messages on refused channels since the start, by reason."""
        self.keys: Mapping[str, int] = {}
        """Refused keys that the last scan found, by reason."""
        self.unnameable: dict[str, str] = {}
        """Why some dialect cannot name a symbol that is served -> the first such symbol."""
        self._examples: dict[str, dict[str, None]] = {reason: {} for reason in REASONS}

    def note(self, reason: str, name: bytes) -> None:
        """Keep a name as an example, if there are not enough yet."""
        examples = self._examples[reason]
        if len(examples) < EXAMPLES_MAX:
            examples[_printable(name)] = None

    def examples(self, reason: str) -> list[str]:
        """The first few refused names, printable and shortened."""
        return list(self._examples[reason])


def _printable(name: bytes) -> str:
    text = name.decode("utf-8", "backslashreplace")
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:EXAMPLE_CHARS])
    return shown if len(text) <= EXAMPLE_CHARS else shown + "…"
