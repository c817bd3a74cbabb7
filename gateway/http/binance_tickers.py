"""The ticker requests of Binance's REST dialect. Where the source sends no ticker of a symbol, its klines tell one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.history.series_reader import UnknownSymbol
from gateway.history.store import StoreUnavailable
from gateway.http.binance_params import Refused
from gateway.http.errors import NoDataYet
from gateway.http.reply import STATE
from gateway.model.interval import INTERVALS, MINUTE_MS, MONTH_MAX_MS
from gateway.protocol.ticker_stats import DAY_MS, average_of_klines, ticker_of_klines

if TYPE_CHECKING:
    from starlette.responses import Response

    from gateway.history.query import QueryRules
    from gateway.http.reads import HistoryReads
    from gateway.model.ticker import Ticker

AVERAGE_MINUTES = 5
"""What `avgPrice` covers, as on Binance."""

AVERAGE_MS = AVERAGE_MINUTES * MINUTE_MS


class Encode(Protocol):
    """Encodes a ticker in one of the dialect's forms; `now_ms`: time of day."""

    def __call__(self, ticker: Ticker, now_ms: int, *, micro: bool) -> bytes: ...


class Found(NamedTuple):
    """A ticker, and whether there may be a newer one."""

    ticker: Ticker
    stale: bool


class Average(NamedTuple):
    """An average price, the time of the last trade in it, and whether there may be a newer one."""

    price: str
    close_ms: int
    stale: bool


class Tickers:
    """Finds tickers: live ones, stored ones, and those that klines tell, which are without bid and ask."""

    def __init__(self, history: HistoryReads, rules: QueryRules) -> None:
        self._history = history
        self._live = history.live
        # Shortest first.
        self._intervals = sorted(rules.intervals, key=list(INTERVALS).index)
        lengths = {name: INTERVALS[name].length_ms or MONTH_MAX_MS for name in self._intervals}
        # The shortest interval of which one cached read covers a day.
        of_day = next((name for name in lengths if DAY_MS // lengths[name] < rules.limit_default), self._intervals[-1])
        self._read = dict.fromkeys((self._intervals[0], of_day))
        self._limit = rules.limit_default
        average = [name for name in lengths if lengths[name] <= AVERAGE_MS]
        self._of_average = "1m" if "1m" in average else average[-1] if average else ""

    async def one(self, symbol: str, now_ms: int) -> Found:
        """The ticker of a symbol. Raises `UnknownSymbol`, `StoreUnavailable`, or `NoDataYet`."""
        answer = await self._history.ticker(symbol)
        if answer.ticker is not None:
            return Found(answer.ticker, answer.stale)
        if found := await self._of_klines(symbol, now_ms):
            return found
        raise NoDataYet

    async def listed(self, symbol: str, now_ms: int) -> Found | None:
        """The ticker of one of all symbols, None without one: the store is read for those without live ticker only."""
        if ticker := self._live.ticker(symbol):
            return Found(ticker, bool(self._live.ticker_stale(symbol)))
        try:
            return await self._of_klines(symbol, now_ms)
        except (UnknownSymbol, StoreUnavailable):
            return None

    async def average(self, symbol: str, now_ms: int) -> Average:
        """The average price of the last minutes, or the last price if nothing was traded. Raises like `one`."""
        found = await self.one(symbol, now_ms)
        price = None
        if self._of_average:
            answer = await self._history.klines(symbol, self._of_average, self._limit, start_ms=now_ms - 2 * AVERAGE_MS)
            price = average_of_klines(kline for kline in answer.klines if kline.close_time_ms > now_ms - AVERAGE_MS)
        return Average(price or found.ticker.last, found.ticker.event_time_ms, found.stale)

    async def _of_klines(self, symbol: str, now_ms: int) -> Found | None:
        answers = [await self._history.klines(symbol, interval, self._limit) for interval in self._read]
        ticker = ticker_of_klines(symbol, [answer.klines for answer in answers], now_ms)
        return None if ticker is None else Found(ticker, any(answer.stale for answer in answers))


def with_book(found: Found) -> Found:
    """The same if it has bid and ask. Raises `Refused`: a price that nobody quotes would be wrong."""
    if not (found.ticker.bid and found.ticker.ask):
        raise Refused(-1020, f"The source sends no bid and ask of {found.ticker.symbol}.")
    return found


def with_state(response: Response, *, stale: bool) -> Response:
    """The answer with the header that says whether its data is live."""
    response.headers[STATE] = "stale" if stale else "live"
    return response
