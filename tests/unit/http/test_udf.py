"""TradingView's UDF over a set stage: what the library asks for, and what it is told when it asks in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.config import DialectsConfig
from gateway.http import udf
from gateway.model.ticker import Ticker
from tests.unit.history.stage import Stage, bars, forming, open_ms, stage
from tests.unit.http.client import NOW_MS, client, reads, rules

if TYPE_CHECKING:
    import httpx

BARS = "/udf/history?symbol=BTCUSDT&resolution=1"
TICKER = Ticker("BTCUSDT", "97000.10", open="96000.0")


def at_s(number: int) -> int:
    return open_ms(number) // 1000


async def ask(on: Stage, path: str, **headers: str) -> httpx.Response:
    routes = udf.routes(reads(on), rules(), DialectsConfig(), 1024, lambda: NOW_MS)
    async with client(on, more=tuple(routes)) as http:
        return await http.get(path, headers=headers)


async def numbers(on: Stage, query: str) -> list[int]:
    data = (await ask(on, f"{BARS}&{query}")).json()
    assert data["s"] == "ok"
    assert len({len(data[column]) for column in "tohlcv"}) == 1
    return [(second - at_s(0)) // 60 for second in data["t"]]


async def test_configuration_and_time() -> None:
    data = (await ask(stage(), "/udf/config")).json()
    clock = await ask(stage(), "/udf/time")
    assert (data["supports_search"], data["supported_resolutions"]) == (True, ["1", "60"])
    assert (clock.text, clock.headers["content-type"].split(";")[0]) == (str(NOW_MS // 1000), "text/plain")


@pytest.mark.parametrize("name", ["BTCUSDT", "BINANCE:BTCUSDT", "binance:BTCUSDT"])
async def test_a_symbol_is_found_with_and_without_its_exchange(name: str) -> None:
    data = (await ask(stage(), f"/udf/symbols?symbol={name}")).json()
    assert (data["name"], data["pricescale"], data["description"]) == ("BTCUSDT", 100, "BTC / USDT")


@pytest.mark.parametrize("name", ["FOOUSDT", "btcusdt", "KRAKEN:BTCUSDT", "BINANCE:", "A:B:BTCUSDT", "%00"])
@pytest.mark.parametrize("path", ["symbols?symbol=", "history?resolution=1&symbol="])
async def test_an_unknown_symbol_is_status_200_with_an_error(path: str, name: str) -> None:
    answer = await ask(stage(), f"/udf/{path}{name}")
    assert (answer.status_code, answer.json()) == (200, {"s": "error", "errmsg": "unknown_symbol"})


async def test_search_finds_parts_of_names_on_the_exchange() -> None:
    on = stage()
    on.live.names = ["BTCUSDT", "ETHBTC", "ETHUSDT"]

    async def found(query: str) -> list[str]:
        return [result["symbol"] for result in (await ask(on, f"/udf/search?{query}")).json()]

    assert await found("query=btc&limit=30&type=&exchange=") == ["BTCUSDT", "ETHBTC"]
    assert await found("query=BINANCE:ETH") == ["ETHBTC", "ETHUSDT"]
    assert await found("query=&type=crypto&exchange=BINANCE&limit=2") == ["ETHBTC", "BTCUSDT"]
    assert await found("query=&limit=-1") == []
    assert await found("") == ["ETHBTC", "BTCUSDT", "ETHUSDT"]
    assert await found("query=BTC&type=stock") == []
    assert await found("query=BTC&exchange=KRAKEN") == []


async def test_the_end_of_a_range_is_exclusive() -> None:
    on = stage()
    assert await numbers(on, f"from={at_s(3)}&to={at_s(6)}") == [3, 4, 5]
    assert await numbers(on, f"from={at_s(3)}&to={at_s(6) + 1}") == [3, 4, 5, 6]
    assert await numbers(on, f"from={at_s(18)}&to={at_s(99)}") == [18, 19, 20]
    assert await numbers(on, f"from=-5&to={at_s(2)}.75") == [0, 1], "parts of seconds are dropped"
    assert await numbers(on, "") == list(range(21))


async def test_countback_goes_before_from() -> None:
    on = stage()
    assert await numbers(on, f"from={at_s(9)}&to={at_s(10)}&countback=3") == [7, 8, 9]
    assert await numbers(on, f"from=0&to={at_s(10)}&countback=3") == [7, 8, 9]
    assert await numbers(on, f"from=0&to={at_s(99)}&countback=2") == [19, 20]
    assert await numbers(on, f"from={at_s(5)}&to={at_s(7)}&countback=0") == [5, 6]
    assert await numbers(on, f"from=0&to={at_s(3)}&countback=999999") == [0, 1, 2]


async def test_klines_have_the_digits_of_the_source() -> None:
    on = stage()
    on.live.last_bar = forming(20, close="97000.5000")
    answer = await ask(on, f"{BARS}&countback=1&from=0&to={at_s(21)}")
    assert answer.text == (
        f'{{"s":"ok","t":[{at_s(20)}],"o":[100.10],"h":[101.50],"l":[99.00],"c":[97000.5000],"v":[3.50]}}'
    )
    assert answer.headers["x-gateway-state"] == "live"


@pytest.mark.parametrize(
    ("query", "next_time"),
    [
        (f"from={at_s(30)}&to={at_s(40)}", at_s(20)),
        (f"from={at_s(-9)}&to={at_s(-5)}", None),
        ("from=0&to=1", None),
        ("to=0", None),
        (f"from={at_s(30)}&to={at_s(20)}", at_s(20)),
        ("from=0&to=100&countback=5", None),
        ("from=99999999999999&to=999999999999999", at_s(20)),
    ],
)
async def test_an_empty_range_names_the_nearest_earlier_kline(query: str, next_time: int | None) -> None:
    data = (await ask(stage(), f"{BARS}&{query}")).json()
    assert data == {"s": "no_data"} | ({} if next_time is None else {"nextTime": next_time})


async def test_a_gap_in_the_source_names_the_kline_before_it() -> None:
    on = stage()
    on.stored.klines = [*bars(0, 4), *bars(10, 19)]
    data = (await ask(on, f"{BARS}&from={at_s(6)}&to={at_s(8)}")).json()
    assert data == {"s": "no_data", "nextTime": at_s(4)}


async def test_quotes_repeat_the_requested_names() -> None:
    on = stage()
    on.live.price = TICKER
    on.live.names = ["BTCUSDT", "ETHUSDT"]
    data = (await ask(on, "/udf/quotes?symbols=BINANCE:BTCUSDT,%20BTCUSDT,,FOO,ETHUSDT")).json()
    assert data["s"] == "ok"
    assert [(entry["s"], entry["n"]) for entry in data["d"]] == [
        ("ok", "BINANCE:BTCUSDT"),
        ("ok", "BTCUSDT"),
        ("error", "FOO"),
        ("error", "ETHUSDT"),
    ]
    assert data["d"][0]["v"]["lp"] == 97000.1


async def test_an_unavailable_quote_does_not_affect_the_others() -> None:
    on = stage()
    on.live.price = TICKER
    on.stored.down = True
    data = (await ask(on, "/udf/quotes?symbols=BTCUSDT,ETHUSDT")).json()
    assert [entry["s"] for entry in data["d"]] == ["ok", "error"]


@pytest.mark.parametrize(
    "path",
    [
        "symbols",
        "symbols?symbol=",
        "history?resolution=1",
        "history?symbol=BTCUSDT",
        "history?symbol=BTCUSDT&resolution=7",
        "history?symbol=BTCUSDT&resolution=5",
        "history?symbol=BTCUSDT&resolution=%00",
        "history?symbol=BTCUSDT&resolution=1&from=now",
        "history?symbol=BTCUSDT&resolution=1&to=1e9",
        "history?symbol=BTCUSDT&resolution=1&to=9999999999999999",
        "history?symbol=BTCUSDT&resolution=1&countback=%D9%A3",
        "search?query=A&limit=x",
        "quotes",
        "quotes?symbols=" + ",".join(f"S{number}" for number in range(201)),
    ],
)
async def test_invalid_arguments_are_status_200_with_an_error(path: str) -> None:
    answer = await ask(stage(), f"/udf/{path}", origin="https://app.example")
    assert (answer.status_code, answer.json()["s"]) == (200, "error")
    assert answer.json()["errmsg"]
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_an_unknown_path_has_the_dialects_shape() -> None:
    answer = await ask(stage(), "/udf/symbol_info?group=all")
    assert (answer.status_code, answer.json()) == (404, {"s": "error", "errmsg": "Not Found"})


async def test_unavailable_store_and_no_data_yet_are_503() -> None:
    on = stage()
    on.stored.down = True
    away = await ask(on, BARS)
    on.live.has_symbols = False
    silent = await ask(on, "/udf/search?query=A")
    assert (away.status_code, away.json()["s"], away.headers["retry-after"]) == (503, "error", "2")
    assert (silent.status_code, silent.json()["s"], silent.headers["retry-after"]) == (503, "error", "1")


async def test_stale_klines_have_a_header() -> None:
    on = stage()
    on.live.away = True
    assert (await ask(on, BARS)).headers["x-gateway-state"] == "stale"


async def test_a_bug_has_the_dialects_shape_and_reveals_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("secret")

    on = stage()
    monkeypatch.setattr(on.history, "klines", fail)
    answer = await ask(on, BARS)
    assert (answer.status_code, answer.json()) == (500, {"s": "error", "errmsg": "Internal error."})


async def test_a_misspelled_parameter_is_an_error_and_those_of_the_library_are_ignored() -> None:
    answer = await ask(stage(), f"{BARS}&countbak=3")
    assert answer.json() == {"s": "error", "errmsg": "countbak: unknown parameter; did you mean 'countback'?"}
    assert (await ask(stage(), f"{BARS}&countback=3&currencyCode=USD&unitId=x")).json()["s"] == "ok"
