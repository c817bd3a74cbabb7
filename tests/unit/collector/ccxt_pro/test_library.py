"""ccxt's clients and errors, for a library that has what of ccxt is used."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from collector.ccxt_pro.library import NoLibrary, UnknownName, as_exchange_error, load, make_client
from collector.ccxt_pro.quirks import Quirks


class BaseError(Exception): ...


class NetworkError(BaseError): ...


class RateLimitExceeded(NetworkError): ...


class DDoSProtection(NetworkError): ...


class BadRequest(BaseError): ...


class BadSymbol(BadRequest): ...


class Okx:
    """A client as ccxt makes it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.options = {"fetchMarkets": {"types": ["spot", "swap"]}} | config["options"]
        self.limited = config["enableRateLimit"]
        self.timeframes = {"1m": "1m", "1d": "1D"}
        self.urls = {
            "api": {"rest": "https://{hostname}/x", "ws": {"public": "wss://ws.example:443/ws/v5"}, "no": None}
        }


LIBRARY = SimpleNamespace(
    exchanges=["okx", "kraken"],
    okx=Okx,
    RateLimitExceeded=RateLimitExceeded,
    DDoSProtection=DDoSProtection,
    BadRequest=BadRequest,
    **{name: type(name, (BaseError,), {}) for name in ("ArgumentsRequired", "NotSupported", "AuthenticationError")},
    RestrictedLocation=type("RestrictedLocation", (BaseError,), {}),
)


def client(rest_url: str = "", stream_url: str = "", quirks: Quirks | None = None) -> Any:
    return make_client(LIBRARY, "okx", "spot", quirks or Quirks(), rest_url=rest_url, stream_url=stream_url)


def test_a_client_keeps_to_the_limits_asks_for_its_markets_only_and_keeps_digits() -> None:
    made = client()
    assert made.limited
    assert made.options["defaultType"] == "spot"
    assert made.options["fetchMarkets"]["types"] == ["spot"]
    assert made.number("97000.10") == "97000.10"


def test_an_exchange_has_its_own_addresses_unless_others_are_given() -> None:
    assert client().urls["api"]["rest"] == "https://{hostname}/x"
    moved = client("http://127.0.0.1:1/", "ws://127.0.0.1:2").urls["api"]
    assert moved == {"rest": "http://127.0.0.1:1/x", "ws": {"public": "ws://127.0.0.1:2/ws/v5"}, "no": None}


def test_what_differs_is_laid_over_what_ccxt_says() -> None:
    made = client(quirks=Quirks(timeframes={"1d": "1Dutc"}, options={"a": 1}))
    assert made.timeframes == {"1m": "1m", "1d": "1Dutc"}
    assert made.options["a"] == 1


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'kraken'"):
        make_client(LIBRARY, "krakn", "spot", Quirks(), rest_url="", stream_url="")


@pytest.mark.parametrize(
    ("error", "headers", "retry_after_s", "permanent"),
    [
        (RateLimitExceeded(), {"Retry-After": "7"}, 7.0, False),
        (DDoSProtection(), {"retry-after": "soon"}, 30.0, False),
        (RateLimitExceeded(), None, 30.0, False),
        (NetworkError(), {"Retry-After": "7"}, 0.0, False),
        (BadSymbol(), {}, 0.0, True),
        (KeyError("x"), {}, 0.0, False),
    ],
    ids=["asked for silence", "not said how long", "no answer", "network", "symbol", "unexpected answer"],
)
def test_errors_say_whether_and_when_to_ask_again(
    error: Exception, headers: Any, retry_after_s: float, permanent: bool
) -> None:
    ours = as_exchange_error(error, LIBRARY, headers)
    assert (ours.retry_after_s, ours.permanent) == (retry_after_s, permanent)
    assert type(error).__name__ in str(ours)


def test_without_ccxt_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(NoLibrary, match=r'pip install "kline-gateway\[collect\]"'):
        load()
