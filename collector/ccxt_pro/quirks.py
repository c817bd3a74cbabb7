"""What has to be known of single exchanges beyond what ccxt says of them. Pure: a table.

Each line has its source. An exchange without a line is treated with the careful defaults.
"""

from __future__ import annotations

from typing import NamedTuple


class Quirks(NamedTuple):
    """How one exchange differs."""

    sends_final: bool = False
    """Whether its stream sends the last state of a kline before the first of the next one, so that the next one proves
    the one before it final. Otherwise each closed kline is asked for."""
    topics_max: int = 50
    """Most streams that one subscription names."""
    timeframes: dict[str, str] | None = None
    """Its names of intervals where ccxt has others."""
    options: dict[str, object] | None = None
    """Options of ccxt's client."""


# OKX, "WS / Candlesticks channel": the last push of a kline has `confirm` 1, which ccxt does not pass on. Names without
# `utc` count days from 16:00 UTC; ccxt adds it to questions and not to subscriptions. "Subscribe": 64 KB a message.
_OKX = Quirks(
    sends_final=True,
    timeframes={"6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc", "1w": "1Wutc", "1M": "1Mutc"},
    options={"fetchOHLCV": {"timezone": ""}},
)

# Bybit, "Kline" stream: the last push of a kline has `confirm` true. "Connect": spot takes 10 topics a request.
_BYBIT = Quirks(sends_final=True, topics_max=10)

_QUIRKS = {
    **dict.fromkeys(("okx", "myokx", "okxus"), _OKX),
    **dict.fromkeys(("bybit", "bybiteu", "bybitid"), _BYBIT),
}


def quirks_of(name: str) -> Quirks:
    """Those of the exchange that ccxt calls `name`."""
    return _QUIRKS.get(name, Quirks())
