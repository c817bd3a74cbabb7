"""The streams of one exchange by ccxt: a task for each group of series and of tickers that one call of ccxt's watches.

A call of `watch_...` returns when something has come; what comes until the next call is kept by ccxt (`ohlcvs`,
`tickers`) and reported by nobody. So after each return these are looked at, at once and again after a pause: nothing
is missed, and a busy market costs a look each `_PAUSE_S` and no more. ccxt connects again by itself.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.ccxt_pro.rows import Rows
from collector.ccxt_pro.values import ticker_of
from collector.events import KlineEvent, TickerEvent
from collector.exchange import ExchangeStatus
from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from collector.ccxt_pro.abilities import Abilities
    from collector.ccxt_pro.quirks import Quirks
    from collector.events import MarketEvent

logger = logging.getLogger(__name__)

_PAUSE_S = 0.05

# OKX takes three subscriptions a second, which is the fewest of the known limits.
_SUBSCRIBE_S = 0.35

_RETRY_S = (0.2, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

FAULTS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError)
"""What ccxt raises beside its own errors when an exchange sends what it does not expect."""


class _Item(NamedTuple):
    """A series, or with no interval the ticker of a symbol."""

    symbol: str
    interval: str


class Streams:
    """Call `run` once; `follow` at any time."""

    def __init__(
        self,
        client: Any,
        abilities: Abilities,
        quirks: Quirks,
        errors: type[Exception],
        unsupported: type[Exception],
        on_event: Callable[[MarketEvent], None],
        now_ms: Callable[[], int],
    ) -> None:
        """`client`: ccxt's. `errors`: what all errors of ccxt's are. `unsupported`: the one by which it says that
        an exchange does not stream what was asked for; klines are then asked for."""
        self.connects = 0
        """Connections made since the start."""
        self.failures = 0
        """Calls that ended with an error."""
        self._client = client
        self._abilities = abilities
        self._quirks = quirks
        self._faults = (errors, *FAULTS)
        self._unsupported = unsupported
        self._on_event = on_event
        self._now_ms = now_ms
        self._groups: dict[asyncio.Task[None], list[_Item]] = {}
        self._rows: dict[_Item, Rows] = {}
        # As many as there were at once.
        self._connections = 1
        # The last ticker of each symbol as ccxt holds it, and its time.
        self._seen: dict[str, tuple[object, object]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._wanted: list[_Item] = []
        connected = client.on_connected

        def on_connected(socket: Any, message: Any = None) -> None:
            # What came by the connection before has to be read as its own.
            self._look_at(list(self._rows))
            self.connects += 1
            connected(socket, message)

        client.on_connected = on_connected

    def status(self) -> ExchangeStatus:
        """How ccxt's connections are doing: it decides how many there are."""
        connected = sum(not socket.closed() for socket in self._client.clients.values())
        self._connections = max(self._connections, connected)
        refused = sum(rows.refused for rows in self._rows.values())
        return ExchangeStatus(
            self._connections, connected, max(0, self.connects - connected), {"not_a_kline": refused} if refused else {}
        )

    def follow(self, symbols: Collection[str], intervals: Collection[str]) -> None:
        """Carry the tickers of these symbols and their klines of these intervals, and nothing else.

        ccxt keeps what is not wanted any more subscribed until it connects again; it is not looked at.
        """
        streamed = intervals if self._abilities.klines else ()
        self._wanted = [_Item(symbol, interval) for interval in ("", *streamed) for symbol in symbols]
        if self._tasks is not None:
            self._change(self._tasks)

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._change(tasks)
            await asyncio.get_running_loop().create_future()

    def _change(self, tasks: asyncio.TaskGroup) -> None:
        wanted = dict.fromkeys(self._wanted)
        for task, items in list(self._groups.items()):
            items[:] = [item for item in items if item in wanted]
            if not items:
                task.cancel()
                del self._groups[task]
        carried = {item for items in self._groups.values() for item in items}
        self._rows = {
            item: self._rows.get(item) or Rows(INTERVALS[item.interval], sends_final=self._quirks.sends_final)
            for item in wanted
            if item.interval
        }
        for number, items in enumerate(self._grouped([item for item in wanted if item not in carried])):
            watching = self._watch(items, number * _SUBSCRIBE_S)
            task = tasks.create_task(watching, name=f"ccxt watch {items[0].symbol}")
            self._groups[task] = items

    def _grouped(self, items: list[_Item]) -> Iterator[list[_Item]]:
        abilities = self._abilities
        for method, of_method in (
            (abilities.tickers, [item for item in items if not item.interval]),
            (abilities.klines, [item for item in items if item.interval]),
        ):
            size = self._quirks.topics_max if method in ("watch_tickers", "watch_ohlcv_for_symbols") else 1
            for first in range(0, len(of_method), size):
                yield of_method[first : first + size]

    async def _watch(self, items: list[_Item], delay_s: float) -> None:
        """Watch a group of series, or of tickers. `delay_s`: sets groups apart that subscribe at once."""
        failures = 0
        await asyncio.sleep(delay_s)
        while True:
            try:
                await self._call(items)
            except asyncio.CancelledError:
                # ccxt cancels what waits on a connection that it closes; that is no reason to end.
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                error: Exception = ConnectionError("connection closed")
            except self._unsupported as fault:
                logger.warning("exchange stream not supported series=%s/%s error=%s", *items[0], fault)
                return
            except self._faults as fault:
                error = fault
            else:
                failures = 0
                self._look_at(items)
                await asyncio.sleep(_PAUSE_S)
                self._look_at(items)
                continue
            self.failures += 1
            if not failures:
                logger.warning("exchange stream lost series=%d error=%s: %s", len(items), type(error).__name__, error)
            await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)] + delay_s)
            failures += 1

    async def _call(self, items: list[_Item]) -> None:
        """Wait until ccxt has something new of these, or some other series of theirs."""
        client, first = self._client, items[0]
        match self._abilities.klines if first.interval else self._abilities.tickers:
            case "watch_ohlcv_for_symbols":
                await client.watch_ohlcv_for_symbols([list(item) for item in items])
            case "watch_ohlcv":
                await client.watch_ohlcv(first.symbol, first.interval)
            case "watch_tickers":
                await client.watch_tickers([item.symbol for item in items])
            case _:
                await client.watch_ticker(first.symbol)

    def _look_at(self, items: list[_Item]) -> None:
        """Pass on what is new of these."""
        now_ms = self._now_ms()
        for item in items:
            if not item.interval:
                self._look_at_ticker(item.symbol, now_ms)
                continue
            if rows := (self._client.ohlcvs.get(item.symbol) or {}).get(item.interval):
                for kline in self._rows[item].read(rows, self.connects, now_ms):
                    self._on_event(KlineEvent(*item, kline))

    def _look_at_ticker(self, symbol: str, now_ms: int) -> None:
        values = self._client.tickers.get(symbol)
        if values is None:
            return
        seen = values, values.get("timestamp")
        before = self._seen.get(symbol)
        if before is not None and before[0] is values and before[1] == seen[1]:
            return
        self._seen[symbol] = seen
        if (ticker := ticker_of(values, now_ms)) is not None:
            self._on_event(TickerEvent(ticker))
