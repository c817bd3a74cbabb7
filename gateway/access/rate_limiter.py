"""Rate limits of HTTP requests: token buckets in this process, or in Redis for all gateways together.

Shared buckets cost one script call per request and use the clock of Redis. While Redis does not answer, each process
counts alone: no request is refused because of the outage, and each process still enforces the limit.
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING

import msgspec
from redis.exceptions import NoScriptError, RedisError

from gateway.access.token_bucket import Taken, TokenBuckets
from gateway.redis.deployment import make_deployment

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.access.token_bucket import Rate
    from gateway.config import RedisConfig
    from gateway.redis.deployment import Deployment

logger = logging.getLogger(__name__)

KEY_PREFIX = "gateway:rate:"
TIMEOUT_S = 0.25
"""Limit for connecting to Redis, and for its answer."""
PAUSE_S = 5.0
"""How long Redis is not used after a failure."""

# The same arithmetic as `token_bucket.take`. Doubles hold whole microseconds exactly until the year 2255.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, capacity, cost = tonumber(ARGV[1]), ARGV[1] * ARGV[2], tonumber(ARGV[3])
local full = tonumber(redis.call('GET', KEYS[1]) or '0')
local begun = math.max(full, now)
local after = begun + math.min(interval * cost, capacity)
local wait = after - now - capacity
if wait > 0 then
  return {begun - now, math.floor((capacity - (begun - now)) / interval), wait}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {after - now, math.floor(-wait / interval), 0}
"""
_DIGEST = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()


class RateLimiter:
    """Takes from shared buckets, and from its own while Redis does not answer."""

    def __init__(
        self,
        tracked: int,
        shared: RedisConfig | None = None,
        clock_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        """`tracked`: how many clients are counted in this process. `shared`: the Redis for shared buckets."""
        self._buckets = TokenBuckets(tracked)
        self._clock_us = clock_us
        self._paused_until_us = 0
        self.fallbacks = 0
        self._redis: Deployment | None = None
        if shared is not None:
            timeouts = {"connect_timeout_s": TIMEOUT_S, "command_timeout_s": TIMEOUT_S}
            self._redis = make_deployment(msgspec.structs.replace(shared, **timeouts))

    @property
    def shared(self) -> bool:
        """Whether the buckets of `take` are in Redis."""
        return self._redis is not None

    async def take(self, key: str, rate: Rate, cost: int = 1) -> Taken:
        """Take `cost` tokens from a key's bucket; `full_us` of the result is relative to now."""
        now_us = self._clock_us()
        if self._redis is not None and now_us >= self._paused_until_us:
            try:
                shared = await self._take(self._redis, KEY_PREFIX + key, rate, cost)
            except (RedisError, OSError, TimeoutError) as error:
                if now_us >= self._paused_until_us:
                    logger.warning("cannot use the shared request rates, counting in this process only: %s", error)
                self.fallbacks += 1
                self._paused_until_us = self._clock_us() + round(PAUSE_S * 1_000_000)
            else:
                return shared
        return self.take_here(key, rate, cost)

    def take_here(self, key: str, rate: Rate, cost: int = 1) -> Taken:
        """Take `cost` tokens from a key's bucket in this process, whatever is shared."""
        now_us = self._clock_us()
        taken = self._buckets.take(key, now_us, rate, cost)
        return Taken(max(0, taken.full_us - now_us), taken.left, taken.wait_us)

    @staticmethod
    async def _take(redis: Deployment, key: str, rate: Rate, cost: int) -> Taken:
        arguments = (1, key, rate.interval_us, rate.burst, cost)
        try:
            answer = await redis.execute("EVALSHA", _DIGEST, *arguments)
        except NoScriptError:
            # The server has started or taken over since: EVAL loads the script.
            answer = await redis.execute("EVAL", _TAKE, *arguments)
        return Taken(*map(int, answer))

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            await self._redis.aclose()
