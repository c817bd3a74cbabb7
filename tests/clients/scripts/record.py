"""What a client library heard, told on stdout as JSON for the test to judge. Judges nothing itself.

Values are written down as the library gives them: text, numbers or decimals.
"""

from __future__ import annotations

import json
import sys
from typing import Any

SYMBOL = "BTCUSDT"
BARS_ENOUGH = 3
PRICES_ENOUGH = 3


class Record:
    """`enough` once some bars have closed and the price has moved."""

    def __init__(self, interval: str = "1s") -> None:
        self.interval = interval
        self.klines: list[dict[str, Any]] = []
        self.tickers: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        """Past klines, where the library has asked for them."""
        self.more: dict[str, Any] = {}
        """What else the library says that is worth a look."""
        self._bars: set[int] = set()
        self._prices: set[str] = set()

    def kline(self, open_ms: int, prices: list[Any], volume: Any, closed: bool | None, **more: Any) -> None:
        """`closed` None: the library does not say. `prices`: open, high, low, close."""
        self.klines.append(kline(open_ms, prices, volume) | {"closed": closed} | more)
        if closed is not False:
            self._bars.add(open_ms)

    def ticker(self, symbol: str, last: Any) -> None:
        self.tickers.append({"symbol": symbol, "last": str(last)})
        self._prices.add(str(last))

    def event(self, event: dict[str, Any]) -> None:
        """An event of a stream as it came; what is none (the reply to a command) is passed over."""
        match event.get("e"):
            case "kline":
                k = event["k"]
                more = {"symbol": k["s"], "interval": k["i"], "event_ms": event["E"], "close_ms": k["T"]}
                self.kline(k["t"], [k["o"], k["h"], k["l"], k["c"]], k["v"], k["x"], trades=k["n"], **more)
            case "24hrMiniTicker" | "24hrTicker":
                self.ticker(event["s"], event["c"])

    def row(self, row: list[Any]) -> None:
        """A kline as REST has it, or as ccxt does: time, open, high, low, close, volume."""
        self.rows.append(kline(row[0], row[1:5], row[5]))

    @property
    def enough(self) -> bool:
        # Without a flag the last bar may still be open.
        bars = len(self._bars) if self.klines and self.klines[0]["closed"] is not None else len(self._bars) - 1
        return bars >= (BARS_ENOUGH if self.interval == "1s" else 0) and len(self._prices) >= PRICES_ENOUGH

    def tell(self) -> None:
        reported = {"klines": self.klines, "tickers": self.tickers, "rows": self.rows, "more": self.more}
        sys.stdout.write(json.dumps(reported | {"interval": self.interval}) + "\n")
        sys.stdout.flush()


def kline(open_ms: int, prices: list[Any], volume: Any) -> dict[str, Any]:
    return {"open_ms": int(open_ms), "prices": [str(price) for price in prices], "volume": str(volume)}


def base() -> str:
    """The gateway's address, `host:port`."""
    return sys.argv[1]


def stream_base() -> str:
    """Where streams are: below the path of a replay, where the test asks for one."""
    return sys.argv[3] if len(sys.argv) > 3 else base()


def tls_base() -> str:
    """The same behind TLS; SSL_CERT_FILE names the certificate to trust."""
    return sys.argv[2]
