"""Which symbols have stopped while others go on; time is a number."""

from __future__ import annotations

from gateway.delivery.staleness import Staleness, StaleReason
from gateway.delivery.symbol_pauses import UNKNOWN_FACTOR, Newest, SymbolPauses
from tests.builders import T0

LEAST_S, FACTOR = 10.0, 5.0


class World:
    """Symbols, the times of their newest ticker and kline, and how often each is updated."""

    def __init__(self, factor: float = FACTOR) -> None:
        self.pauses = SymbolPauses(LEAST_S, factor)
        self.now_s = 0
        self.every_s = {"BTCUSDT": 1}
        self.newest: dict[str, tuple[int, int]] = {}
        self.live = True
        self.stale: dict[str, tuple[str, str]] = {}

    def wait(self, seconds: int, *only: str, klines: str = "") -> dict[str, tuple[str, str]]:
        """Let these symbols go on, or all; of `klines` only the klines do. Returns the reasons of those that are
        stale."""
        for _ in range(seconds):
            self.now_s += 1
            now_ms = T0 + self.now_s * 1000
            for symbol, every_s in self.every_s.items():
                if (not only or symbol in only) and self.now_s % every_s == 0:
                    self.newest[symbol] = (now_ms, now_ms)
            if klines:
                self.newest[klines] = (self.newest[klines][0], now_ms)
            symbols = [Newest(symbol, *times) for symbol, times in self.newest.items()]
            found = self.pauses.sweep(symbols, float(self.now_s), now_ms, feed_live=self.live)
            self.states = found
            self.stale = {name: (states.ticker.reason, states.klines.reason) for name, states in found.items()}
        return self.stale


def test_a_symbol_that_stops_while_others_go_on_is_stale_since_its_last_update() -> None:
    world = World()
    world.every_s["ETHUSDT"] = 1
    assert world.wait(20) == {}
    assert world.wait(10, "BTCUSDT") == {}
    assert world.wait(1, "BTCUSDT") == {"ETHUSDT": ("symbol", "symbol")}
    world.wait(5, "BTCUSDT")
    assert world.states["ETHUSDT"].ticker == Staleness(StaleReason.SYMBOL, T0 + 20_000)
    assert world.wait(1) == {}


def test_a_symbol_that_trades_seldom_has_as_many_of_its_pauses() -> None:
    world = World()
    world.every_s["THINUSDT"] = 8
    assert world.wait(80) == {}
    assert world.wait(40, "BTCUSDT") == {}
    assert world.wait(2, "BTCUSDT") == {"THINUSDT": ("symbol", "symbol")}


def test_a_symbol_whose_pauses_are_not_known_yet_has_long() -> None:
    world = World()
    world.newest["NEWUSDT"] = (T0, 0)
    limit_s = round(LEAST_S * UNKNOWN_FACTOR)
    assert world.wait(limit_s) == {}
    assert world.wait(1) == {"NEWUSDT": ("symbol", "")}


def test_what_is_stored_of_a_symbol_that_was_delisted_long_ago_is_stale_at_once() -> None:
    world = World()
    world.newest["GONEUSDT"] = (T0 - 86_400_000, T0 - 86_400_000)
    assert world.wait(1) == {"GONEUSDT": ("symbol", "symbol")}


def test_a_ticker_that_stops_while_the_klines_of_its_symbol_go_on_is_stale_alone() -> None:
    world = World()
    world.every_s["ETHUSDT"] = 1
    world.wait(20)
    assert world.wait(11, "BTCUSDT", klines="ETHUSDT") == {"ETHUSDT": ("symbol", "")}


def test_no_symbol_stops_while_the_feed_is_stale() -> None:
    world = World()
    world.wait(20)
    world.live = False
    assert world.wait(500, "none") == {}
    world.live = True
    assert world.wait(1) == {}


def test_with_factor_0_no_symbol_is_called_stale() -> None:
    world = World(0.0)
    world.every_s["ETHUSDT"] = 1
    world.wait(20)
    assert world.wait(1000, "BTCUSDT") == {}


def test_without_symbols_nothing_is_stale() -> None:
    assert SymbolPauses(LEAST_S, FACTOR).sweep((), 0.0, T0, feed_live=True) == {}
