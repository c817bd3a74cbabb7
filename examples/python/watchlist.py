"""A watchlist in a terminal: last price, change and volume of 24 h, and how fresh they are.

python watchlist.py BTCUSDT ETHUSDT SOLUSDT --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from kline_gateway_client import Client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kline_gateway_client import Status, Stream, Ticker

HOME, CLEAR_LINE, CLEAR_BELOW, HIDE, SHOW = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[?25l", "\x1b[?25h"
GREEN, RED, DIM, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
DRAW_S = 0.2


def row(symbol: str, ticker: Ticker | None) -> str:
    if ticker is None:
        return f"{symbol:<12}{'…':>14}"
    change = ticker.change_percent
    if change is None:
        return f"{symbol:<12}{ticker.last:>14f}"
    colour = GREEN if change >= 0 else RED
    return f"{symbol:<12}{ticker.last:>14f} {colour}{change:>+8.2f} %{PLAIN} {ticker.volume or 0:>18f}"


def screen(symbols: Sequence[str], prices: Mapping[str, Ticker], status: Status) -> list[str]:
    """The lines to show."""
    age = "" if status.age_s is None else f", last message {status.age_s:.1f} s ago"
    why = f" ({status.reason})" if status.reason else ""
    colour = GREEN if status.live else RED
    head = f"{DIM}{'symbol':<12}{'last':>14} {'24 h':>10} {'volume':>18}{PLAIN}"
    return [f"{colour}{status.state}{PLAIN}{why}{age}", head, *(row(symbol, prices.get(symbol)) for symbol in symbols)]


async def keep(prices: dict[str, Ticker], stream: Stream[Ticker]) -> None:
    async for ticker in stream:
        prices[ticker.symbol] = ticker


async def watch(url: str, symbols: Sequence[str]) -> None:
    prices: dict[str, Ticker] = {}
    async with Client(url, compact=True) as client, asyncio.TaskGroup() as tasks:
        stream = client.tickers(symbols)
        tasks.create_task(keep(prices, stream))
        while True:
            lines = (line + CLEAR_LINE for line in screen(symbols, prices, stream.status))
            sys.stdout.write(HOME + "\n".join(lines) + "\n" + CLEAR_BELOW)
            sys.stdout.flush()
            await asyncio.sleep(DRAW_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("symbols", nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    given = parser.parse_args()
    sys.stdout.write(HIDE)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(watch(given.url, given.symbols))
    finally:
        sys.stdout.write(SHOW)


if __name__ == "__main__":
    main()
