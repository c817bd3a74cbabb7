"""What does it save, in a surge, to keep the newest payload of each topic and decode it at the tick?

300 topics, 100 messages of each between two ticks. Compared: every message decoded and folded in, the newest decoded
and folded in. Per operation: one message from the feed.
"""

from __future__ import annotations

from gateway.config import MarketConfig
from gateway.feed.conflate import Conflator
from gateway.feed.decode import decode_ticker
from gateway.market.market import Market
from gateway.redis.contract import Topic
from loadtest.bench.runner import Case

_NOW_MS = 1_732_320_000_000
_SYMBOLS = [f"S{number:03d}USDT" for number in range(300)]
_BATCH = [
    (
        Topic(symbol, ""),
        (
            f'{{"e":"24hrTicker","E":{_NOW_MS + second},"s":"{symbol}","c":"97{second:03d}.45","o":"96000.00",'
            f'"h":"98000.00","l":"95000.00","v":"1234.{second}","q":"119876543.12","p":"1123.45","P":"1.170","n":{second}}}'
        ).encode(),
    )
    for second in range(100)
    for symbol in _SYMBOLS
]


def _each() -> Case:
    market = Market(MarketConfig(), 16, lazy=True)

    def work() -> None:
        for topic, payload in _BATCH:
            market.apply(decode_ticker(payload, topic.symbol, _NOW_MS), _NOW_MS)
        market.take_changes()

    return Case(work, len(_BATCH))


def _newest() -> Case:
    market = Market(MarketConfig(), 16, lazy=True)
    surge = Conflator()

    def work() -> None:
        for topic, payload in _BATCH:
            for urgent in surge.offer(topic, payload):
                market.apply(decode_ticker(urgent, topic.symbol, _NOW_MS), _NOW_MS)
        for topic, payload in surge.take():
            market.apply(decode_ticker(payload, topic.symbol, _NOW_MS), _NOW_MS)
        market.take_changes()

    return Case(work, len(_BATCH))


CASES = {"every message": _each, "the newest of each topic": _newest}
