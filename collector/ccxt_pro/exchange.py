"""An exchange of ccxt's as an `Exchange`: its listing, its klines, its streams. Pairs have ccxt's names: `BTC/USDT`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from collector.ccxt_pro.abilities import TooLittle, abilities_of
from collector.ccxt_pro.library import as_exchange_error, load, make_client
from collector.ccxt_pro.quirks import quirks_of
from collector.ccxt_pro.streams import FAULTS, Streams
from collector.ccxt_pro.values import kline_of, listed, row_of
from collector.exchange import ExchangeError, ExchangeStatus, Venue
from gateway.model.interval import DAY_MS, INTERVALS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from collector.events import MarketEvent
    from collector.exchange import Listed
    from gateway.model.kline import Kline

SPOT = "spot"
SWAP = "swap"

# As many as a whole history has, and some.
_ROWS_MAX = 1000


class CcxtExchange:
    """One exchange, one kind of its markets: `okx` is its spot market, `okx:swap` its perpetual futures."""

    def __init__(self, name: str, *, rest_url: str = "", stream_url: str = "") -> None:
        """`rest_url`, `stream_url`: other base addresses than the exchange's own.

        Raises `NoLibrary`, `UnknownName`, and `TooLittle` for an exchange that cannot be collected.
        """
        self._library = load()
        own_name, _, kind = name.partition(":")
        self._kind = kind or SPOT
        if self._kind not in (SPOT, SWAP):
            raise TooLittle(f"expected {own_name} (spot) or {own_name}:{SWAP} (perpetual futures), got {name!r}")
        self._quirks = quirks_of(own_name)
        self._client = make_client(
            self._library, own_name, self._kind, self._quirks, rest_url=rest_url, stream_url=stream_url
        )
        self.abilities = abilities_of(self._client, self._kind, self._quirks)
        title = str(self._client.name)
        self.venue = Venue(
            name,
            title if self._kind == SPOT else f"{title} perpetual futures",
            str((self._client.urls or {}).get("www") or ""),
            "",
            intervals=self.abilities.intervals,
            rows_max=_ROWS_MAX,
            closes=False,
            skips=True,
            lacks=self.abilities.lacks,
        )
        self._ahead_ms = 0
        self._followed: tuple[Collection[str], Collection[str]] = ((), ())
        self.streams: Streams | None = None
        """The streams, while `run` runs."""

    def now_ms(self) -> int:
        """The time of the exchange's clock, ms since the epoch."""
        return time.time_ns() // 1_000_000 + self._ahead_ms

    def status(self) -> ExchangeStatus:
        """How its connections are doing."""
        return ExchangeStatus(1, 0) if self.streams is None else self.streams.status()

    async def listing(self) -> Sequence[Listed]:
        """All pairs of this kind. Raises `ExchangeError`."""
        client = self._client
        if self.abilities.clock:
            asked_ms = self.now_ms()
            told_ms = await self._ask(client.fetch_time)
            if isinstance(told_ms, int):
                # It told its time about in the middle between question and answer.
                self._ahead_ms += told_ms - (asked_ms + self.now_ms()) // 2
        markets = await self._ask(client.load_markets, True)
        tickers = await self._ask(client.fetch_tickers) if self.abilities.turnover else {}
        pairs = listed(markets.values(), tickers, self._kind)
        if not pairs:
            raise ExchangeError(f"{self.venue.title} has no {self._kind} markets", permanent=True)
        return pairs

    async def klines(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Sequence[Kline]:
        """Closed klines that open from `start_ms` and before `end_ms`; see `Exchange`.

        All there are: an exchange may return fewer rows than it was asked for, so it is asked on behind the last one.
        """
        span = INTERVALS[interval]
        found: dict[int, Kline] = {}
        length_ms = span.length_ms or 28 * DAY_MS
        at_ms = start_ms
        while at_ms < end_ms and len(found) < _ROWS_MAX:
            limit = max(1, min(self.abilities.rows, -(-(end_ms - at_ms) // length_ms)))
            answer = await self._ask(self._client.fetch_ohlcv, symbol, interval, at_ms, limit)
            now_ms = self.now_ms()
            opened = [row for values in answer if (row := row_of(values, span)) and at_ms <= row[0] < end_ms]
            at_ms += limit * length_ms
            for row in opened:
                if span.close_time(row[0]) < now_ms:
                    found[row[0]] = kline_of(row, span, now_ms, closed=True)
            if opened:
                at_ms = span.next_open(max(row[0] for row in opened))
        return [found[opened_ms] for opened_ms in sorted(found)][:_ROWS_MAX]

    def follow(self, symbols: Collection[str], intervals: Collection[str]) -> None:
        """Stream klines and tickers of these and no others."""
        self._followed = symbols, intervals
        if self.streams is not None:
            self.streams.follow(symbols, intervals)

    async def run(self, on_event: Callable[[MarketEvent], None]) -> None:
        """Stream what is followed until cancelled."""
        self.streams = Streams(
            self._client,
            self.abilities,
            self._quirks,
            self._library.BaseError,
            self._library.NotSupported,
            on_event,
            self.now_ms,
        )
        self.streams.follow(*self._followed)
        try:
            await self.streams.run()
        finally:
            # Not cut short by the cancellation that ends the streams.
            await asyncio.shield(self._client.close())

    async def aclose(self) -> None:
        """Close the connections of questions, and with them those of streams: ccxt has one client for both."""
        await self._client.close()

    async def _ask(self, question: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """The answer to a question, in ccxt's turn; raises `ExchangeError`."""
        try:
            return await question(*arguments)
        except (self._library.BaseError, *FAULTS) as error:
            headers = getattr(self._client, "last_response_headers", None)
            raise as_exchange_error(error, self._library, headers) from error
