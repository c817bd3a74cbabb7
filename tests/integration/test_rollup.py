"""An interval that the collector does not store, made of one that it does: over sockets, in every HTTP dialect, and
through losses."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect

from tests.builders import MINUTE_MS, T0
from tests.integration.live import BARS, WAIT_S, Publisher, client, make_config, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.server import EmbeddedServer
    from tests.fakes import View
    from tests.integration.live import Serving

FIVE = "kline:BTCUSDT:5m"
FIVE_MS = 5 * MINUTE_MS
INTERVALS = ("1m", "5m", "15m")


def config(server: EmbeddedServer, **market: Any) -> Any:
    return make_config(server, market={"intervals": INTERVALS, "close_grace_ms": 200} | market)


async def close(collector: Publisher, first: int, last: int, *, reported: bool = True) -> None:
    """Store (and publish) the 1m bars from the first to the last: prices, volumes and trades differ from bar to bar."""
    for number in range(first, last + 1):
        await collector.closed(
            number,
            f"{100 + number} {110 + number}.50 {90 - number}.10 {105 + number}.0",
            reported=reported,
            volume=f"1.{number:02d}",
            quote_volume=f"{number}.5",
            trades=number + 1,
        )


def whole(first: int, count: int = 5) -> dict[str, Any]:
    """What the bars from the first on make, worked out from how `close` makes them."""
    last = first + count - 1
    hundredths = sum(100 + number for number in range(first, last + 1))
    tenths = sum(10 * number + 5 for number in range(first, last + 1))
    return {
        "openTime": T0 + first * MINUTE_MS,
        "open": 100 + first,
        "high": 110.5 + last,
        "low": round(90.1 - last, 1),
        "close": 105 + last,
        "volume": hundredths / 100,
        "closeTime": T0 + (last + 1) * MINUTE_MS - 1,
        "quoteVolume": tenths / 10,
        "trades": sum(range(first + 1, last + 2)),
        "isClosed": True,
    }


def shown(view: View, field: str) -> object:
    """A field of the open bar, if there is one."""
    return getattr(view.forming, field, None)


@pytest.fixture
async def up(redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
    """Bars 0 to 11 are stored: two 5m bars are whole, and two minutes of the third are there."""
    await close(publisher, 0, 11)
    async with serving(config(redis_server)) as found:
        yield found


class TestStream:
    async def test_the_open_bar_goes_on_from_what_was_stored_and_closes_with_its_last_part(
        self, publisher: Publisher, up: Serving
    ) -> None:
        async with client(up) as someone:
            await someone.subscribe(FIVE, history=10)
            view = someone.view(FIVE)
            (snapshot,) = someone.said("snapshot")
            assert snapshot["derived"] is True
            assert [kline.open_time for kline in view.closed] == [T0, T0 + FIVE_MS]
            assert view.forming is not None
            assert (view.forming.open, view.forming.trades) == ("110", str(11 + 12))
            await publisher.forming(12, "112 200 50 150", trades=4, volume="0.5")
            await someone.until(lambda: shown(view, "close") == "150")
            assert (shown(view, "high"), shown(view, "trades")) == ("200", str(11 + 12 + 4))
            await close(publisher, 12, 14)
            await someone.until(lambda: view.cursor == T0 + 2 * FIVE_MS)
            assert [kline.open_time for kline in view.closed] == [T0, T0 + FIVE_MS, T0 + 2 * FIVE_MS]
            await close(publisher, 15, 15)
            await someone.until(lambda: shown(view, "open_time") == T0 + 3 * FIVE_MS)
            assert not someone.said("error")

    async def test_a_client_resumes_where_it_was(self, publisher: Publisher, up: Serving) -> None:
        async with client(up) as someone:
            await someone.subscribe(FIVE, history=10)
        folder = someone.folder
        await close(publisher, 12, 24)
        async with client(up, folder) as again:
            await again.subscribe(FIVE, resume={FIVE: T0 + FIVE_MS})
            (snapshot,) = again.said("snapshot")
            assert snapshot["recovered"] is True
            await again.until(lambda: again.view(FIVE).cursor == T0 + 4 * FIVE_MS)
            assert [kline.open_time for kline in again.view(FIVE).closed] == [
                T0 + number * FIVE_MS for number in range(5)
            ]

    async def test_a_lost_part_is_fetched_and_the_bar_closes_whole(self, publisher: Publisher, up: Serving) -> None:
        async with client(up) as someone:
            await someone.subscribe(FIVE, BARS, history=10)
            await close(publisher, 12, 13, reported=False)
            await close(publisher, 14, 14)
            view = someone.view(FIVE)
            await someone.until(lambda: view.cursor == T0 + 2 * FIVE_MS)
            rows = (await up.get("/v1/klines?symbol=BTCUSDT&interval=5m")).json()["klines"]
            assert rows[2] == whole(10)

    async def test_a_bar_without_one_of_its_parts_is_provisional_and_never_closes(
        self, publisher: Publisher, up: Serving
    ) -> None:
        async with client(up) as someone:
            await someone.subscribe(FIVE, history=10)
            view = someone.view(FIVE)
            await close(publisher, 13, 14)
            await someone.until(lambda: shown(view, "provisional"))
            await close(publisher, 15, 15)
            await someone.until(lambda: shown(view, "open_time") == T0 + 3 * FIVE_MS)
            assert shown(view, "provisional") is False
            await close(publisher, 16, 20)
            await someone.until(lambda: view.cursor == T0 + 3 * FIVE_MS)
            assert [kline.open_time for kline in view.closed] == [T0, T0 + FIVE_MS, T0 + 3 * FIVE_MS]
            answer = (await up.get("/v1/klines?symbol=BTCUSDT&interval=5m")).json()
            assert answer["gaps"] == [{"from": T0 + 2 * FIVE_MS, "to": T0 + 2 * FIVE_MS}]
            # It comes after all: clients are told anew.
            await close(publisher, 12, 12)
            await someone.until(lambda: len(view.closed) == 4)
            assert someone.said("snapshot")[-1]["resync"] is True
            answer = (await up.get("/v1/klines?symbol=BTCUSDT&interval=5m")).json()
            assert "gaps" not in answer
            assert answer["klines"][2] == whole(10)

    async def test_the_collectors_own_word_ends_it(self, publisher: Publisher, up: Serving) -> None:
        async with client(up) as someone:
            await someone.subscribe(FIVE)
            await publisher.publish(
                "klines:BTCUSDT:5m",
                f'{{"e":"kline","E":{T0 + 3 * FIVE_MS},"s":"BTCUSDT","k":{{"t":{T0 + 2 * FIVE_MS},'
                f'"T":{T0 + 3 * FIVE_MS - 1},"s":"BTCUSDT","i":"5m","o":"1","c":"2","h":"3","l":"0.5","v":"7","n":9,'
                '"x":false,"q":"8"}}',
            )
            await someone.until(lambda: shown(someone.view(FIVE), "volume") == "7")
            someone.clear()
            await someone.subscribe(FIVE)
            assert "derived" not in someone.said("snapshot")[0]


class TestBinance:
    async def test_a_bot_gets_each_bar_closed_once_and_before_the_next(self, publisher: Publisher, up: Serving) -> None:
        address = up.address.replace("http", "ws") + "/ws/btcusdt@kline_5m"
        async with connect(address, proxy=None) as bot:
            await until(lambda: up.inside.hub.sessions, "a session")
            await close(publisher, 12, 14)
            await publisher.forming(15, "115 116 114 115.5", trades=1, volume="0.1")
            events: list[dict[str, Any]] = []
            while not events or events[-1]["t"] < T0 + 3 * FIVE_MS:
                events.append(json.loads(await asyncio.wait_for(bot.recv(), WAIT_S))["k"])
        assert [event["t"] for event in events if event["x"]] == [T0 + 2 * FIVE_MS]
        assert [event["t"] for event in events] == sorted(event["t"] for event in events)
        (closed,) = [event for event in events if event["x"]]
        assert [closed[name] for name in "iohlc"] == ["5m", "110", "124.50", "76.10", "119.0"]
        assert (closed["v"], closed["n"], closed["q"]) == ("5.60", sum(range(11, 16)), "62.5")
        assert closed.keys() == set("tTsifLochlvnxqVQB"), "no field that the exchange does not send"


class TestHttp:
    async def test_bars_are_the_sum_of_their_parts_in_every_dialect(self, up: Serving) -> None:
        native = (await up.get("/v1/klines?symbol=BTCUSDT&interval=5m")).json()
        assert native["derived"] is True
        assert native["klines"][:2] == [whole(0), whole(5)]
        forming = native["klines"][2]
        assert (forming["isClosed"], forming["trades"], forming["volume"]) == (False, 11 + 12, 2.21)
        rows = (await up.get("/api/v3/klines?symbol=BTCUSDT&interval=5m")).json()
        assert rows[1][:9] == [
            T0 + FIVE_MS, "105", "119.50", "81.10", "114.0", "5.35", T0 + 2 * FIVE_MS - 1, "37.5", 40
        ]  # fmt: skip
        bars = (
            await up.get(f"/udf/history?symbol=BTCUSDT&resolution=5&from={T0 // 1000}&to={T0 // 1000 + 900}")
        ).json()
        assert (bars["s"], bars["o"][:2], bars["v"][:2]) == ("ok", [100, 105], [5.1, 5.35])

    async def test_ranges_are_by_the_bars_own_open_times(self, publisher: Publisher, up: Serving) -> None:
        await close(publisher, 12, 29)
        url = f"/v1/klines?symbol=BTCUSDT&interval=5m&startTime={T0 + 1}&endTime={T0 + 3 * FIVE_MS}"
        answer = (await up.get(url)).json()
        assert answer["klines"] == [whole(5), whole(10), whole(15)]
        limited = (await up.get(f"{url}&limit=2")).json()
        assert limited["klines"] == [whole(5), whole(10)]
        last = (await up.get(f"/v1/klines?symbol=BTCUSDT&interval=5m&limit=1&endTime={T0 + FIVE_MS + 7}")).json()
        assert last["klines"] == [whole(5)]

    async def test_longer_bars_are_made_too_and_only_of_what_is_stored(self, publisher: Publisher, up: Serving) -> None:
        await close(publisher, 12, 15)
        answer = (await up.get("/v1/klines?symbol=BTCUSDT&interval=15m&limit=2")).json()
        assert answer["klines"][0] == whole(0, 15)

    async def test_what_is_stored_is_not_called_derived(self, up: Serving) -> None:
        assert "derived" not in (await up.get("/v1/klines?symbol=BTCUSDT&interval=1m")).json()

    async def test_a_minute_that_nobody_sent_is_quiet_where_that_is_the_rule(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        for first, last in ((0, 6), (8, 11)):
            await close(publisher, first, last)
        async with serving(config(redis_server, quiet="skip")) as up:
            answer = (await up.get("/v1/klines?symbol=BTCUSDT&interval=5m")).json()
            # The first bar is not known to be whole: nothing before it is.
            assert [kline["trades"] for kline in answer["klines"][:2]] == [15, 40 - 8]

    async def test_settings_may_say_what_is_stored(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        await close(publisher, 0, 9)
        await publisher.publish("klines:BTCUSDT:5m", "nobody listens")
        async with serving(config(redis_server, stored=("1m",))) as up:
            answer = (await up.get("/v1/klines?symbol=BTCUSDT&interval=5m")).json()
            assert (answer["derived"], answer["klines"]) == (True, [whole(0), whole(5)])
