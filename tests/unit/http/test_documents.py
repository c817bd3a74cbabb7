"""The document is valid OpenAPI 3.1, and real answers are what it says."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.config import DialectsConfig
from gateway.http.documents import openapi_document
from gateway.model.symbol import DEFAULT_SYMBOL_PATTERN
from gateway.model.ticker import Ticker
from tests.openapi import described, violations
from tests.unit.history.stage import T0, Stage, forming, stage
from tests.unit.http.client import client, rules

TICKER = Ticker("BTCUSDT", "1.10", "1.0", "1.2", "0.9", "5", "6.5", "-0.1", "-9.09", 12, event_time_ms=T0)
NATIVE = "/v1/klines?symbol=BTCUSDT&interval=1m"


def errors(answer: dict[str, Any], path: str, method: str, status: int) -> list[str]:
    """What the schema for this answer has against it."""
    schemas = described(openapi_document(rules(), "1.2.3"), path, method, status)
    return violations(schemas["application/json"], answer)


def set_up() -> Stage:
    on = stage()
    on.live.price = TICKER
    on.live.last_bar = forming(20, provisional=True)
    return on


async def test_the_document_is_valid_openapi() -> None:
    async with client(stage()) as http:
        answer = await http.get("/v1/openapi.json")
        unchanged = await http.get("/v1/openapi.json", headers={"if-none-match": answer.headers["etag"]})
    OpenAPIV31SpecValidator(answer.json()).validate()
    assert answer.json()["info"]["version"] == "1.2.3"
    assert unchanged.status_code == 304


def test_it_contains_the_symbols_intervals_and_limits_of_the_gateway() -> None:
    schemas = openapi_document(rules(limit_max=77), "1")["components"]["schemas"]
    assert schemas["Interval"]["enum"] == ("1m", "1h")
    assert (schemas["Limit"]["maximum"], schemas["Limit"]["default"]) == (77, 77)
    assert schemas["Symbol"]["pattern"] == f"^(?:{DEFAULT_SYMBOL_PATTERN})$"


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (NATIVE, 200),
        (f"{NATIVE}&limit=0", 400),
        ("/v1/klines?symbol=FOO&interval=1m", 400),
        ("/v1/klines?symbol=BTCUSDT&interval=2m", 400),
        ("/v1/ticker?symbol=BTCUSDT", 200),
        ("/v1/ticker?symbol=FOO", 400),
        ("/v1/symbols", 200),
        ("/functions/v1/health", 200),
    ],
)
async def test_get_answers_are_as_described(url: str, status: int) -> None:
    async with client(set_up()) as http:
        answer = await http.get(url)
    assert answer.status_code == status
    assert errors(answer.json(), url.partition("?")[0], "get", status) == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("get-klines", {"symbol": "BTCUSDT", "timeframe": "1m", "limit": None}, 200),
        ("get-klines", {"symbol": "BTCUSDT", "timeframe": "9m"}, 400),
        ("get-klines", {"symbol": "x" * 70_000}, 413),
        ("get-ticker", {"symbol": "BTCUSDT"}, 200),
        ("get-ticker", {}, 400),
        ("/rest/v1/rpc/ping", {}, 200),
    ],
    ids=["bars", "interval", "large", "ticker", "missing", "ping"],
)
async def test_post_answers_are_as_described(path: str, body: dict[str, Any], status: int) -> None:
    path = path if path.startswith("/") else f"/functions/v1/{path}"
    async with client(set_up()) as http:
        answer = await http.post(path, json=body)
    assert answer.status_code == status
    assert errors(answer.json(), path, "post", status) == []


async def test_answers_without_ticker_and_without_store_are_as_described() -> None:
    on = stage()
    async with client(on) as http:
        assert errors((await http.get("/v1/ticker?symbol=BTCUSDT")).json(), "/v1/ticker", "get", 200) == []
        on.stored.down = True
        answer = await http.get(NATIVE)
    assert answer.status_code == 503
    assert errors(answer.json(), "/v1/klines", "get", 503) == []


async def test_functions_without_data_answer_as_described() -> None:
    path = "/functions/v1/get-"
    async with client(stage(), dialects=DialectsConfig(functions_unknown_symbol="empty")) as http:
        for symbol in ("BTCUSDT", "FOOUSDT"):
            for name in ("klines", "ticker"):
                answer = await http.post(path + name, json={"symbol": symbol, "timeframe": "1m"})
                assert (answer.status_code, errors(answer.json(), path + name, "post", 200)) == (200, [])
    async with client(stage(), not_ready_reasons=lambda: ["starting"]) as http:
        answer = await http.get("/functions/v1/health")
        assert (answer.status_code, errors(answer.json(), "/functions/v1/health", "get", 503)) == (503, [])


async def test_the_check_detects_a_wrong_answer() -> None:
    async with client(set_up()) as http:
        answer = (await http.get(NATIVE)).json()
    answer["klines"][0]["open"] = "100.10"
    del answer["klines"][1]["trades"]
    answer["klines"][2]["extra"] = 1
    assert len(errors(answer, "/v1/klines", "get", 200)) == 3
