from __future__ import annotations

import pytest

from gateway.http.weights import NAMES_PER_UNIT, Allowance, weigh


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/health/data"])
def test_health_checks_are_counted_but_never_refused(path: str) -> None:
    weight = weigh("GET", path, b"")
    assert (weight.allowance, weight.units, weight.refusable) == (Allowance.OPERATIONS, 1, False)


@pytest.mark.parametrize(
    ("path", "allowance"),
    [
        ("/metrics", Allowance.OPERATIONS),
        ("/status.json", Allowance.OPERATIONS),
        ("/v1/status", Allowance.OPERATIONS),
        ("/v1/trace", Allowance.OPERATIONS),
        ("/", Allowance.FILES),
        ("/status/", Allowance.FILES),
        ("/v1/openapi.json", Allowance.FILES),
        ("/nothing", Allowance.FILES),
        ("/v1/nothing", Allowance.DATA),
        ("/v1/symbols", Allowance.DATA),
        ("/udf", Allowance.DATA),
        ("/functions/v1/get-klines", Allowance.DATA),
        ("/api/v3/ping", Allowance.DATA),
    ],
)
def test_every_path_is_counted(path: str, allowance: Allowance) -> None:
    weight = weigh("GET", path, b"")
    assert (weight.allowance, weight.refusable, weight.is_data) == (allowance, True, allowance is Allowance.DATA)
    assert weight.units >= 1


def test_what_asks_for_options_is_not_a_request_for_data() -> None:
    assert weigh("OPTIONS", "/v1/klines", b"limit=5000") == weigh("GET", "/nothing", b"")


NAMES = ",".join(["BTCUSDT"] * NAMES_PER_UNIT)


@pytest.mark.parametrize(
    ("path", "query", "units"),
    [
        ("/v1/klines", "symbol=A&limit=1000", 1),
        ("/v1/klines", "symbol=A&limit=1001", 2),
        ("/v1/klines", "symbol=A&limit=", 1),
        ("/v1/klines", "limit=-5", 1),
        ("/v1/klines", "limit=٣", 1),
        ("/v1/klines", "limit=99999999999999", 20),
        ("/api/v3/klines", "limit=5000", 5),
        ("/api/v3/uiKlines", "limit=5000", 5),
        ("/udf/history", "countback=2000", 2),
        ("/udf/quotes", f"symbols={NAMES}", 1),
        ("/udf/quotes", f"symbols={NAMES},ETHUSDT", 2),
        ("/udf/quotes", f"x=1&symbols={NAMES},ETHUSDT&y=2".replace(",", "%2C"), 2),
        ("/udf/quotes", f"%73ymbols={NAMES},ETHUSDT", 2),
        ("/udf/quotes", "", 1),
        ("/api/v3/ticker/24hr", "", 1),
        ("/api/v3/ticker/24hr", f"symbols=[{NAMES},{NAMES}]", 2),
        ("/api/v3/ticker/price", f"symbols=[{NAMES},{NAMES}]", 2),
        ("/api/v3/exchangeInfo", f"symbols=[{NAMES},{NAMES}]", 2),
        ("/v1/symbols", "limit=9999", 1),
    ],
)
def test_long_lists_weigh_more(path: str, query: str, units: int) -> None:
    assert weigh("GET", path, query.encode()).units == units
