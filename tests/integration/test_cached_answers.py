"""Cached answers of a real gateway: those written while the request is parsed equal those of the application.

A request with `content-length: 0` is always answered by the application.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import httpx

from gateway.http.at_once import AtOnce
from tests.integration.live import SYMBOL, WAIT_S, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from gateway.model.kline import Kline
    from simulator.server import EmbeddedServer
    from tests.integration.live import Publisher

TARGETS = (
    f"/v1/klines?symbol={SYMBOL}&interval=1m",
    f"/v1/klines?symbol={SYMBOL}&interval=1m&limit=2",
    f"/api/v3/klines?symbol={SYMBOL}&interval=1m&limit=2",
    f"/api/v3/uiKlines?symbol={SYMBOL}&interval=1m",
    f"/udf/history?symbol={SYMBOL}&resolution=1&countback=300&to=9999999999",
)
BY_APPLICATION = {"content-length": "0"}
VARYING = (b"date", b"content-length", b"x-ratelimit-reset", b"ratelimit")
CHANGING = re.compile(rb'"timestamp":\d+|(?<=x-ratelimit-remaining: )\d+|(?<=x-mbx-used-weight-1m: )\d+')


def whole(answer: httpx.Response) -> bytes:
    """Status, headers in their order and decoded body, but for what differs from request to request."""
    kept = [pair for pair in answer.headers.raw if pair[0] not in VARYING]
    lines = [b"%d" % answer.status_code, *sorted(b"%b: %b" % pair for pair in kept), answer.content]
    return CHANGING.sub(b"", b"\n".join(lines))


def shows(find: Callable[[str, str], Kline | None], number: int) -> bool:
    """Whether the kline that `find` returns has the volume `number`."""
    found = find(SYMBOL, "1m")
    return found is not None and found.volume == str(number)


async def test_both_ways_have_the_same_answers_while_the_market_moves(
    redis_server: EmbeddedServer, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = 0
    answer = AtOnce.answer

    def counted(self: AtOnce, *given: object) -> object:
        nonlocal answered
        found = answer(self, *given)  # type: ignore[arg-type]
        answered += found is not None
        return found

    monkeypatch.setattr(AtOnce, "answer", counted)
    for number in range(40):
        await publisher.closed(number)
    limits = {"http_burst": 100_000, "http_per_min": 1.0}
    async with (
        serving(make_config(redis_server, limits=limits, history={"gzip_min_bytes": 500})) as up,
        httpx.AsyncClient(base_url=up.address, timeout=WAIT_S, trust_env=False) as http,
    ):
        market = up.inside.market

        def newest_closed(symbol: str, interval: str) -> Kline | None:
            return next(reversed(tuple(market.closed(symbol, interval))), None)

        async def answered_at_once(target: str, headers: dict[str, str]) -> httpx.Response:
            """The answer that had to wait for nothing; what was kept is checked now and then, and waits."""
            for _ in range(5):
                before = answered
                found = await http.get(target, headers=headers)
                if answered > before:
                    return found
            raise AssertionError(f"{target} has to wait for nothing")

        for number in range(40, 46):
            await publisher.forming(number, volume=str(number))
            await until(partial(shows, market.forming, number), "the kline")
            for target in TARGETS:
                for encoding in ("identity", "gzip"):
                    headers = {"accept-encoding": encoding}
                    for _ in range(2):
                        by_application = await http.get(target, headers=headers | BY_APPLICATION)
                    at_once = await answered_at_once(target, headers)
                    assert whole(at_once) == whole(by_application)
                    headers["origin"] = "https://app.example"
                    page = await answered_at_once(target, headers)
                    assert page.headers["access-control-allow-origin"] == "*"
                    assert whole(page) == whole(await http.get(target, headers=headers | BY_APPLICATION))
            etag = (await http.get(TARGETS[0])).headers["etag"]
            known = {"if-none-match": etag}
            unchanged = await http.get(TARGETS[0], headers=known)
            assert unchanged.status_code == 304
            assert whole(unchanged) == whole(await http.get(TARGETS[0], headers=known | BY_APPLICATION))
            await publisher.closed(number, volume=str(number))
            await until(partial(shows, newest_closed, number), "its end")
            newest = (await http.get(TARGETS[1])).json()["klines"]
            assert (newest[-1]["volume"], newest[-1]["isClosed"]) == (number, True)
        assert await up.metric('gateway_history_seconds_count{served="kept"}') > 100
        assert await up.metric("gateway_history_kept_bytes") > 0


async def test_requests_answered_at_once_share_an_allowance_with_the_others(
    redis_server: EmbeddedServer, publisher: Publisher
) -> None:
    await publisher.closed(0)
    limits = {"http_burst": 6, "http_per_min": 0.1}
    async with (
        serving(make_config(redis_server, limits=limits)) as up,
        httpx.AsyncClient(base_url=up.address, timeout=WAIT_S, trust_env=False) as http,
    ):
        answers = [await http.get(TARGETS[0], headers=BY_APPLICATION if number % 2 else {}) for number in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 6 + [429] * 2
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == [*"5432100", "0"]
    assert answers[6].json()["code"] == "RATE_LIMIT"
