"""Answers what gateways ask for: klines that are missing in Redis are stored anew, from the exchange.

One request at a time, within the exchange's limits, and only by the collector that writes. What is asked for again at
once, or is stored, costs the exchange nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from collector.events import Correction
from collector.exchange import ExchangeError
from collector.gap_request import Refused, lines_of, parse
from gateway.feed.link import Link
from gateway.model.interval import INTERVALS
from gateway.redis.subscription import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.contract import Contract
    from collector.exchange import Exchange
    from collector.gap_request import GapRequest
    from collector.keeper import Keeper
    from collector.writer import Writer
    from gateway.redis.deployment import Deployment
    from gateway.redis.subscription import Messages

logger = logging.getLogger(__name__)

WAITING_MAX = 2000
"""Requests that may wait for their turn."""

AGAIN_S = 10.0
"""Time within which the exchange is not asked the same question again: several gateways miss the same kline."""

WATCHDOG_S = 600.0
"""Long, because a PING may cost money and a lost request is sent again."""

_STORED_S = 5.0
_LOOK_S = 0.05


class GapRequests:
    """Owns the subscription to requests. Call `run` once."""

    surging = False
    charge: AbstractContextManager[None] = nullcontext()

    def __init__(
        self,
        redis: Deployment,
        contract: Contract,
        exchange: Exchange,
        keeper: Keeper,
        writer: Writer,
        now_s: Callable[[], float],
        retry_s: Sequence[float],
    ) -> None:
        """`retry_s`: seconds between attempts to subscribe; the last one repeats."""
        self.received_bytes = 0
        self.refused: Counter[str] = Counter()
        """Lines that were no request that can be answered, by reason."""
        self.answered = 0
        """Requests since the start."""
        self.found = 0
        """Klines that were missing in Redis and that the exchange had."""
        self._redis = redis
        self._contract = contract
        self._exchange = exchange
        self._keeper = keeper
        self._writer = writer
        self._now_s = now_s
        self._retry_s = retry_s
        self._waiting: dict[GapRequest, None] = {}
        self._asked_s: dict[GapRequest, float] = {}
        self._work = asyncio.Event()

    async def run(self) -> None:
        """Answer until cancelled; failures of Redis and the exchange do not end it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="requests of gateways")
            while True:
                await self._work.wait()
                while self._waiting:
                    request = next(iter(self._waiting))
                    del self._waiting[request]
                    await self._answer(request)
                self._work.clear()

    # As the receiver of the subscription: runs without `await`.

    def reduce(self, data: bytes) -> bytes:
        """There are no surges of requests."""
        return data

    def take(self, messages: Messages) -> None:
        """Take what one read brought."""
        if not self._writer.connected.is_set():
            # Another collector writes, or nobody can: the gateway will ask again.
            return
        followed, now_ms = set(self._keeper.names), self._exchange.now_ms()
        for line in (line for message in messages for line in lines_of(message[2])):
            try:
                request = parse(line, followed, now_ms)
                if len(self._waiting) >= WAITING_MAX:
                    raise Refused("too_many")
            except Refused as error:
                if not self.refused[str(error)]:
                    logger.warning("request refused reason=%s", error)
                self.refused[str(error)] += 1
            else:
                self._waiting[request] = None
        self._work.set()

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                link = Link("", await self._redis.connect(), self, WATCHDOG_S)
                try:
                    link.subscribe([self._contract.request_channel])
                    await link.wait_acknowledged()
                    failures = 0
                    await link.wait_until(float("inf"))
                finally:
                    await link.aclose()
            except (RedisError, OSError, ConnectionLost) as error:
                logger.debug("requests cannot be heard: %s", error)
            await asyncio.sleep(self._retry_s[min(failures, len(self._retry_s) - 1)])
            failures += 1

    async def _answer(self, request: GapRequest) -> None:
        now_s = self._now_s()
        self._asked_s = {asked: asked_s for asked, asked_s in self._asked_s.items() if now_s - asked_s < AGAIN_S}
        if request in self._asked_s:
            return
        self._asked_s[request] = now_s
        self.answered += 1
        try:
            await self._store_waiting()
            missing = await self._missing(request)
            if missing:
                await self._ask(request, missing)
        except (RedisError, OSError, ExchangeError) as error:
            logger.warning("request not answered series=%s/%s error=%s", request.symbol, request.interval, error)

    async def _store_waiting(self) -> None:
        """Klines that were to be stored later are what is missing most often."""
        unstored, give_up_s = self._writer.outbox.unstored, self._now_s() + _STORED_S
        if len(unstored):
            self._writer.store_all()
        while len(unstored) and self._now_s() < give_up_s:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    async def _missing(self, request: GapRequest) -> set[int]:
        """Open times of the klines that are not stored."""
        interval, wanted = INTERVALS[request.interval], request.open_times()
        last_ms = interval.close_time(wanted[-1])
        (answer,) = await self._writer.send([self._contract.between(*request[:2], wanted[0], last_ms)])
        return set(wanted) - {interval.open_time(int(float(score)) - 1) for score in answer[1::2]}

    async def _ask(self, request: GapRequest, missing: set[int]) -> None:
        symbol, interval = request[:2]
        end_ms = INTERVALS[interval].next_open(max(missing))
        klines = await self._exchange.klines(symbol, interval, min(missing), end_ms)
        found = [kline for kline in klines if kline.open_time_ms in missing]
        for kline in found:
            self._writer.put(Correction(symbol, interval, kline._replace(closed=True)))
        self.found += len(found)
        logger.info("gap series=%s/%s missing=%d found=%d", symbol, interval, len(missing), len(found))
