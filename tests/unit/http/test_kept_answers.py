"""Answers made at once have the bytes and headers of those of the routes, whatever happens to the market in between."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from gateway.config import DialectsConfig
from gateway.http import binance_rest, klines, udf
from gateway.http.kept_answers import QUERY_MAX_BYTES, Conditions, Plans, conditions, kept_answers
from gateway.protocol import binance_rest as binance_wire
from gateway.protocol import udf as udf_wire
from gateway.protocol.native import kline_json
from tests.unit.history.stage import Clock, Stage, bar, bars, forming, open_ms, stage
from tests.unit.http.client import NOW_MS, reads, rules

if TYPE_CHECKING:
    from gateway.http.kept_answers import Answer
    from gateway.http.reads import HistoryReads
    from gateway.model.kline import Kline

NATIVE = "/v1/klines?symbol=BTCUSDT&interval=1m"
BINANCE = "/api/v3/klines?symbol=BTCUSDT&interval=1m"
UDF = "/udf/history?symbol=BTCUSDT&resolution=1"
TARGETS = (
    *(NATIVE, f"{NATIVE}&limit=1", f"{NATIVE}&limit=7", f"{NATIVE}&startTime={open_ms(3)}&endTime={open_ms(9)}"),
    *(BINANCE, f"{BINANCE}&limit=1", f"{BINANCE}&limit=1000", f"{BINANCE}&startTime={open_ms(15)}"),
    *(f"{UDF}&countback=300&to=9999999999", f"{UDF}&countback=1&to=9999999999"),
    f"{UDF}&from={open_ms(2) // 1000}&to={open_ms(12) // 1000}",
)
GZIP = (b"accept-encoding", b"gzip")


class Both:
    """The routes over a set stage, as an application, and their makers."""

    def __init__(self, on: Stage, gzip_min_bytes: int = 500, middleware: bool = False) -> None:
        self.history: HistoryReads = reads(on)
        dialects = DialectsConfig()
        app = Starlette(
            routes=[
                *klines.routes(self.history, rules(), gzip_min_bytes, lambda: NOW_MS),
                *binance_rest.routes(self.history, rules(), dialects, gzip_min_bytes, 1, lambda: NOW_MS, Clock()),
                *udf.routes(self.history, rules(), dialects, gzip_min_bytes, lambda: NOW_MS),
            ],
            middleware=[kept_answers(self.history.makers)] if middleware else [],
        )
        transport = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://gateway", headers={"accept-encoding": "x"})

    async def routed(self, target: str, *headers: tuple[bytes, bytes]) -> httpx.Response:
        return await self.http.get(target, headers=list(headers))

    def made(self, target: str, *headers: tuple[bytes, bytes]) -> Answer | None:
        path, _, query = target.partition("?")
        return self.history.makers[path](query.encode(), headers)

    async def same(self, target: str, *headers: tuple[bytes, bytes]) -> bool:
        """Whether an answer was made at once; then it must be what the route answers."""
        await self.routed(target, *headers)
        waited = await self.routed(target, *headers)
        answer = self.made(target, *headers)
        if answer is None:
            return False
        assert answer.status == waited.status_code
        assert sorted(answer.headers) == sorted((name.lower(), value) for name, value in waited.headers.raw)
        body = answer.body or b""
        assert (gzip.decompress(body) if answer.compressed else body) == waited.content
        return True


def expected(target: str, shown: list[Kline]) -> bytes:
    """The body made from nothing: every kline encoded."""
    if target.startswith("/udf"):
        return udf_wire.history(shown)
    if target.startswith("/api"):
        return b"[%b]" % b",".join(map(binance_wire.kline_row, shown))
    rows = b",".join(map(kline_json, shown))
    head, end = b'{"symbol":"BTCUSDT","interval":"1m","klines":[', b'],"cached":true,"stale":false,"timestamp":%d}'
    return head + rows + end % NOW_MS


async def changed(on: Stage, change: str, number: int) -> None:
    """One step of the market; `number` makes its prices differ."""
    live, stored = on.live, on.stored
    now = live.last_bar or forming(len(stored.klines))
    price = f"{100 + number}.{number:02d}"
    match change:
        case "price":
            live.last_bar = now._replace(close=price)
        case "close":
            closed = now._replace(closed=True, close=price)
            live.memory = [*live.memory, closed][-4:]
            stored.klines = [*stored.klines, closed]
            live.last_bar = forming(len(stored.klines), close=price)
        case "correct" if live.memory:
            live.memory = [*live.memory[:-1], live.memory[-1]._replace(close=price, event_time_ms=10**13 + number)]
        case "no forming kline":
            live.last_bar = None
        case "disconnect":
            live.away = not live.away
        case "expire":
            on.clock.now_s += 61
        case "store":
            stored.down = not stored.down


CHANGES = ("price", "price", "close", "close", "correct", "no forming kline", "disconnect", "expire", "store")


@given(st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 99)), max_size=12), st.sampled_from(TARGETS))
def test_what_is_made_at_once_is_what_the_route_answers(changes: list[tuple[str, int]], target: str) -> None:
    async def follow() -> None:
        on = stage()
        both = Both(on)
        assert await both.same(target)
        for change, number in changes:
            await changed(on, change, number)
            for headers in ((), (GZIP,)):
                made = await both.same(target, *headers)
                assert made or on.stored.down or on.live.last_bar is None, "usually nothing has to be read"
            etag = (await both.routed(target)).headers.get("etag", "").encode()
            await both.same(target, (b"if-none-match", etag))

    asyncio.run(follow())


@pytest.mark.parametrize("headers", [(), (GZIP,)], ids=["plain", "gzip"])
@pytest.mark.parametrize("target", [NATIVE, BINANCE, f"{UDF}&countback=300&to=9999999999"])
async def test_a_kline_that_closes_between_two_requests_is_in_the_second_answer(
    target: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    on = stage()
    both = Both(on)
    assert await both.same(target, *headers)
    for number in range(20, 40):
        on.live.memory = [*on.live.memory, bar(number, close="7.5")][-3:]
        on.live.last_bar = forming(number + 1)
        if both.made(target, *headers) is None:
            assert headers, "a new beginning is compressed by the route"
            await both.routed(target, *headers)
        answer = both.made(target, *headers)
        assert answer is not None
        shown = [*bars(0, 19), *(bar(closed, close="7.5") for closed in range(20, number + 1)), forming(number + 1)]
        body = answer.body or b""
        assert (gzip.decompress(body) if headers else body) == expected(target, shown)
    assert on.stored.reads == 1


async def test_a_price_costs_no_encoding_of_what_has_closed() -> None:
    on = stage()
    both = Both(on)
    await both.same(NATIVE)
    before = both.made(NATIVE)
    on.live.last_bar = forming(20, close="1.25")
    after = both.made(NATIVE)
    assert before is not None
    assert after is not None
    assert before.body != after.body
    assert before.ending is not after.ending
    again = both.made(NATIVE)
    assert again is not None
    assert again.ending is after.ending


async def test_a_known_etag_is_answered_with_304_until_something_changes() -> None:
    on = stage()
    both = Both(on)
    etag = (await both.routed(NATIVE)).headers["etag"].encode()
    for value in (etag, b'"x", ' + etag, b"*"):
        answer = both.made(NATIVE, (b"if-none-match", value))
        assert answer is not None
        assert (answer.status, answer.body) == (304, None)
    on.live.last_bar = forming(20, close="1.25")
    changed = both.made(NATIVE, (b"if-none-match", etag))
    assert changed is not None
    assert changed.status == 200


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        pytest.param(f"{NATIVE}&limit=6", [], id="a query that nobody has sent"),
        pytest.param(f"{NATIVE}&limit=0", [], id="an invalid query"),
        pytest.param(NATIVE, [GZIP, GZIP], id="a header twice"),
        pytest.param(NATIVE, [(b"if-none-match", b"a"), (b"if-none-match", b"b")], id="two conditions"),
        pytest.param(NATIVE, [GZIP], id="not compressed yet"),
        pytest.param(f"{UDF}&countback=300&to=9999999999", [GZIP], id="columns not compressed yet"),
        pytest.param(BINANCE, [(b"x-mbx-time-unit", b"MICROSECOND")], id="microseconds"),
        pytest.param(f"{UDF}&from=1&to=2", [], id="no kline"),
    ],
)
async def test_what_the_route_has_to_answer_is_left_to_it(target: str, headers: list[tuple[bytes, bytes]]) -> None:
    both = Both(stage())
    for asked in TARGETS:
        await both.routed(asked)
    if "limit" not in target:
        await both.routed(target)
    assert both.made(target, *headers) is None


async def test_after_a_restart_of_the_cache_the_route_reads_again() -> None:
    on = stage()
    both = Both(on)
    assert await both.same(NATIVE)
    on.clock.now_s += 61
    assert both.made(NATIVE) is None
    on.stored.klines[4] = bar(4, close="5.5")
    await both.routed(NATIVE)
    answer = both.made(NATIVE)
    assert answer is not None
    assert answer.body == expected(NATIVE, [*on.stored.klines, forming(20)])


async def test_an_answer_in_microseconds_is_not_remembered() -> None:
    both = Both(stage())
    await both.routed(BINANCE, (b"x-mbx-time-unit", b"MICROSECOND"))
    assert both.made(BINANCE) is None


async def test_the_middleware_answers_get_requests_and_passes_on_the_others() -> None:
    on = stage()
    plain, kept = Both(on), Both(on, middleware=True)
    for target in TARGETS:
        for method in ("GET", "HEAD", "POST"):
            for headers in ({}, {"accept-encoding": "gzip"}):
                for _ in range(2):
                    await kept.http.request(method, target, headers=headers)
                want = await plain.http.request(method, target, headers=headers)
                found = await kept.http.request(method, target, headers=headers)
                assert (found.status_code, found.content) == (want.status_code, want.content)
    assert (await kept.http.get("/v1/none")).status_code == 404
    etag = (await kept.http.get(NATIVE)).headers["etag"]
    known = await kept.http.get(NATIVE, headers={"if-none-match": etag})
    assert (known.status_code, known.content) == (304, b"")


def test_few_plans_are_remembered_and_no_long_query() -> None:
    plans: Plans[int] = Plans(most=2)
    for number in range(3):
        plans.remember(b"%d" % number, number)
    plans.remember(b"2", 7)
    plans.remember(b"x" * (QUERY_MAX_BYTES + 1), 4)
    assert ([plans.get(query) for query in (b"0", b"1", b"2")], len(plans)) == ([None, 1, 2], 2)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], Conditions(False, None)),
        ([(b"host", b"x"), GZIP], Conditions(True, None)),
        ([(b"accept-encoding", b"gzip;q=0"), (b"if-none-match", b"*")], Conditions(False, b"*")),
        ([GZIP, GZIP], None),
        ([(b"x-other", b"1")], None),
    ],
)
def test_conditions(headers: list[Any], found: Conditions | None) -> None:
    assert conditions(headers, b"x-other") == found
