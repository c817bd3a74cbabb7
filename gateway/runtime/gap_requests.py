"""Asks the collector for klines that are missing in the store as well: it can ask the exchange.

Says which, and how often at the most; what is missing is found by `gap_watch.py`. Whoever answers stores the klines, so
that no answer has to be waited for.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson
from redis.exceptions import RedisError

from gateway.market.gaps import GapState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config import RedisConfig
    from gateway.market.gaps import Gap
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)

PERIOD_S = 5.0
"""Shortest time between two messages."""

GAPS_MAX = 100
"""Gaps in one message."""


class GapRequests:
    """Holds the gaps that are to be asked for, until they are or have ended."""

    def __init__(
        self,
        redis: Mapping[str, RedisConfig],
        deployments: Mapping[str, Deployment],
        healthy: Callable[[], Sequence[str]],
        clock_s: Callable[[], float],
    ) -> None:
        """`redis`, `deployments`: of each source; `healthy`: names of sources, the one to ask first."""
        self.sent = 0
        """Gaps asked for since the start."""
        self._redis = redis
        self._deployments = deployments
        self._healthy = healthy
        self._clock_s = clock_s
        self._wanted: dict[Gap, None] = {}
        self._sent_s = -PERIOD_S
        self._failed = False

    def want(self, gap: Gap) -> None:
        """Ask for this gap; an earlier wish for it is renewed."""
        self._wanted[gap] = None

    async def send(self) -> None:
        """Send what is wanted, if it is time. What cannot be sent is dropped: its gap will be wanted again."""
        now_s = self._clock_s()
        if not self._wanted or now_s - self._sent_s < PERIOD_S:
            return
        self._sent_s = now_s
        asked = [gap for gap in self._wanted if gap.state is GapState.OPEN][:GAPS_MAX]
        name = self._healthy()[0]
        channel = self._redis[name].request_channel
        if not channel:
            self._wanted.clear()
            return
        self._wanted = {gap: None for gap in self._wanted if gap.state is GapState.OPEN and gap not in asked}
        if not asked:
            return
        payload = b"\n".join(map(_line, asked))
        try:
            await self._deployments[name].execute("PUBLISH", self._redis[name].prefix + channel, payload)
        except (RedisError, OSError) as error:
            if not self._failed:
                logger.warning("gaps: the collector cannot be asked: %s", error)
            self._failed = True
            return
        self._failed = False
        self.sent += len(asked)


def _line(gap: Gap) -> bytes:
    series = gap.series
    return orjson.dumps(
        {"symbol": series.symbol, "interval": series.interval.name, "start": gap.from_ms, "end": gap.to_ms}
    )
