"""The feeder process: publishes at the rate of the phase, and counts what it could not publish in time.

Owns clock and socket; `ticker_feed` and `kline_feed` make the commands.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from gateway.config import RedisConfig
from loadtest.feeder.kline_feed import KlineFeed
from loadtest.feeder.rate_schedule import RateSchedule
from loadtest.feeder.ticker_feed import TickerFeed, ticker_json
from loadtest.protocol.messages import Command, FeedSample, Plan
from loadtest.protocol.resp import Publisher, encode, execute
from loadtest.protocol.stamps import BASE, stamp_at

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from loadtest.scenario import Scenario

_KLINE_INTERVAL_S = 0.01
# Most bytes in one send. More would give later values the stamp of earlier ones.
_SEND_BYTES = 1 << 17
_DAY_MS = 86_400_000


class Feeder:
    """Feeds one run: `store` before the gateway starts, then `run`."""

    def __init__(self, plan: Plan, pipe: Connection) -> None:
        scenario = plan.scenario
        self._plan, self._pipe = plan, pipe
        self._redis = RedisConfig()
        self._tickers = TickerFeed(scenario.symbols, self._redis, scenario.feed.rate, scenario.feed.beat_ms)
        self._turns_per_s = scenario.feed.rate * len(self._tickers.groups)
        self._group_size = scenario.feed.symbols / len(self._tickers.groups)
        self._max_turns = max(1, _SEND_BYTES // self._tickers.groups[0].length)
        self._klines, self._kline_start_ms = _klines(scenario, self._redis, time.time_ns() // 1_000_000)
        self._publisher = Publisher(plan.redis_url)
        self._phase = "warm-up"
        self._start_ns = 0
        self._schedule = RateSchedule(0, 0.0)

    def store(self) -> None:
        """Store what the gateway reads at its start."""
        symbols = self._plan.scenario.symbols
        commands = [
            # A collector's keys expire after 60 s. These last a whole run, which writes channels only.
            encode("SET", self._redis.ticker_key.format(symbol=symbol), ticker_json(symbol, str(BASE), "0000"))
            for symbol in symbols
        ]
        commands += self._klines.stored(self._plan.scenario.feed.stored)
        for start in range(0, len(commands), 50):
            if b"\r\n-" in b"\r\n" + execute(self._plan.redis_url, commands[start : start + 50]):
                raise ConnectionError("the store refused a command")

    def run(self) -> None:
        """Publish klines at once, tickers from the command `start` on, until `stop`."""
        gc.freeze()
        gc.disable()
        self._start_ns = report_ns = time.monotonic_ns()
        while True:
            now_ns = time.monotonic_ns()
            self._publish(now_ns)
            if now_ns - report_ns >= 1_000_000_000:
                report_ns = now_ns
                self._pipe.send(self._sample(now_ns))
            if self._pipe.poll() and not self._execute(self._pipe.recv()):
                break
            pause_s = min(self._schedule.wait_s(time.monotonic_ns()), _KLINE_INTERVAL_S)
            if pause_s > 0:
                time.sleep(pause_s)
        self._finish()

    def _publish(self, now_ns: int) -> None:
        stamp = stamp_at(now_ns, self._plan.epoch_ns)
        if turns := self._schedule.take(now_ns, self._max_turns):
            self._publisher.send(self._tickers.next(turns, stamp))
        if klines := self._klines.advance(self._kline_now_ms(now_ns), stamp):
            self._publisher.send(klines)

    def _kline_now_ms(self, now_ns: int) -> float:
        if speed := self._plan.scenario.feed.speed:
            return self._kline_start_ms + (now_ns - self._start_ns) / 1e6 * speed
        return time.time_ns() / 1e6

    def _execute(self, command: Command) -> bool:
        now_ns = time.monotonic_ns()
        if command.verb == "start":
            self._schedule.set_rate(now_ns, self._turns_per_s)
        if command.verb == "phase":
            self._pipe.send(self._sample(now_ns, whole=True))
            self._phase = command.phase
            self._schedule.set_rate(now_ns, self._turns_per_s * command.value)
        return command.verb != "stop"

    def _finish(self) -> None:
        """Store the last prices, as a collector does; nothing is published any more."""
        now_ns = time.monotonic_ns()
        prices = self._tickers.final_prices()
        symbols = self._plan.scenario.symbols
        self._publisher.close()
        execute(
            self._plan.redis_url,
            [
                encode(
                    "SET",
                    self._redis.ticker_key.format(symbol=symbol),
                    ticker_json(symbol, *f"{last:013.4f}".split(".")),
                )
                for symbol, last in zip(symbols, prices, strict=True)
                if last
            ],
        )
        self._pipe.send(self._sample(now_ns, whole=True, done=True))

    def _sample(self, now_ns: int, *, whole: bool = False, done: bool = False) -> FeedSample:
        return FeedSample(
            phase=self._phase,
            elapsed_s=(now_ns - self._start_ns) / 1e9,
            tickers=self._tickers.messages,
            klines=self._klines.messages,
            closed=self._klines.closed,
            asked=round(self._schedule.asked * self._group_size),
            given_up=round(self._schedule.given_up * self._group_size),
            worst_late_ms=self._schedule.worst_late_ns / 1e6,
            cpu_s=time.process_time(),
            counts=tuple(self._tickers.counts()) if whole else (),
            final_prices=tuple(self._tickers.final_prices()) if done else (),
            ledger=self._klines.ledger() if done else {},
            done=done,
        )


def _klines(scenario: Scenario, redis: RedisConfig, now_ms: int) -> tuple[KlineFeed, int]:
    """The kline feed and its start: now, or so early that a virtual clock does not reach the present in the run."""
    feed = scenario.feed
    start_ms = now_ms
    if feed.speed:
        seconds = scenario.warm_up_s + scenario.drain_s + sum(phase.seconds for phase in scenario.phases)
        start_ms -= int((seconds * 2 + 60) * 1000 * feed.speed)
        start_ms -= start_ms % _DAY_MS
    symbols = scenario.symbols[: feed.kline_symbols]
    return KlineFeed(symbols, feed.intervals if symbols else (), redis, start_ms, feed.forming_rate), start_ms


def main(plan: Plan, pipe: Connection) -> None:
    """Entry of the process."""
    feeder = Feeder(plan, pipe)
    feeder.store()
    pipe.send("stored")
    feeder.run()
