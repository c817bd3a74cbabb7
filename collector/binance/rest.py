"""Binance's REST API, within its limits: one client, all questions through one budget of weight."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from collector.binance.weight import WeightBudget
from collector.exchange import ExchangeError
from gateway.model.timestamps import TIME_MAX_MS, TIME_MIN_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.binance.facts import Facts

logger = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_ANSWER_MAX_BYTES = 64 << 20
_USED_WEIGHT = "X-MBX-USED-WEIGHT-1M"
_DIGITS_MAX = 10

# Too many questions (429, then 418: banned for a while), or stopped by the firewall (403).
_ASKS_FOR_SILENCE = (429, 418, 403)

# Where an answer asks for silence and does not say for how long.
_SILENCE_S = 60.0

# The exchange says whole seconds, and bans for longer whoever comes back a little early.
_SILENCE_MARGIN_S = 1.0


class Clock:
    """The exchange's clock: its last known time and what has passed since, whatever happens to this machine's clock."""

    def __init__(self) -> None:
        self._ahead_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """The exchange's time, ms since the epoch; this machine's until it has been set."""
        return (time.monotonic_ns() + self._ahead_ns) // 1_000_000

    def set(self, now_ms: int) -> None:
        """Take over the exchange's time as of now."""
        self._ahead_ns = now_ms * 1_000_000 - time.monotonic_ns()


class Rest:
    """Asks questions. Every method raises `ExchangeError`, and `aclose` ends it."""

    def __init__(self, facts: Facts, url: str, weight_share: float) -> None:
        """`url`: base address, "" for the exchange's own. `weight_share`: part of the limit of weight to use."""
        self.clock = Clock()
        self.budget = WeightBudget(facts.weight_per_minute, weight_share)
        self._share = weight_share
        self._url = (url or facts.rest_url).rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, weight: int, parameters: Mapping[str, str | int] | None = None) -> Any:
        """The decoded answer to a question, asked when its weight fits."""
        asked_s = await self._turn(weight)
        used: int | None = None
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        try:
            async with self._session.get(self._url + path, params=parameters) as answer:
                used = _number(answer.headers.get(_USED_WEIGHT, ""))
                body = await _read(answer)
                if answer.status != 200:
                    raise self._refusal(answer, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ExchangeError(f"{self._url}{path}: {str(error) or type(error).__name__}") from error
        finally:
            self.budget.answered(weight, used, asked_s, self.clock.now_ms() / 1000)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ExchangeError(f"{self._url}{path}: not JSON: {body[:80]!r}") from error

    def take_over(self, exchange_info: Any) -> None:
        """Take over what an `exchangeInfo` answer that has just come says of the exchange's clock and limits."""
        if not isinstance(exchange_info, dict):
            return
        if isinstance(server_ms := exchange_info.get("serverTime"), int) and TIME_MIN_MS <= server_ms < TIME_MAX_MS:
            self.clock.set(server_ms)
        limits = exchange_info.get("rateLimits")
        for limit in limits if isinstance(limits, list) else ():
            match limit:
                case {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": int(weight)}:
                    self.budget.limit_to(weight, self._share)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _turn(self, weight: int) -> float:
        """Wait until the question may be asked; returns when that was, by the exchange's clock in seconds."""
        # Others wait for weight too: whose turn it is shows only when the wait is over.
        while True:
            exchange_s = self.clock.now_ms() / 1000
            wait_s = self.budget.wait_s(weight, time.monotonic(), exchange_s)
            if not wait_s:
                return exchange_s
            await asyncio.sleep(wait_s)

    def _refusal(self, answer: aiohttp.ClientResponse, body: bytes) -> ExchangeError:
        detail = f"{answer.status} {body[:200].decode('utf-8', 'replace')}"
        if answer.status in _ASKS_FOR_SILENCE:
            wait_s = (_number(answer.headers.get("Retry-After", "")) or _SILENCE_S) + _SILENCE_MARGIN_S
            self.budget.silence(wait_s, time.monotonic())
            logger.warning("exchange asks for silence status=%d seconds=%.0f", answer.status, wait_s)
            return ExchangeError(detail, retry_after_s=wait_s)
        return ExchangeError(detail, permanent=400 <= answer.status < 500)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body; raises `aiohttp.ClientError` where it is larger than any answer of the exchange."""
    parts: list[bytes] = []
    left_bytes = _ANSWER_MAX_BYTES
    async for part in answer.content.iter_any():
        left_bytes -= len(part)
        if left_bytes < 0:
            raise aiohttp.ClientPayloadError(f"more than {_ANSWER_MAX_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _number(text: str) -> int | None:
    """The number that a header holds."""
    return int(text) if text.isdecimal() and len(text) < _DIGITS_MAX else None
