"""The library ccxt, which is installed only where it is wanted: clients of its exchanges, its errors as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from collector.exchange import ExchangeError
from gateway.config.nearest import nearest

if TYPE_CHECKING:
    from collector.ccxt_pro.quirks import Quirks

# Where an exchange asks for silence and does not say for how long.
_SILENCE_S = 30.0

_TIMEOUT_MS = 10_000


class NoLibrary(Exception):
    """ccxt is not installed; the message says how to install it."""


class UnknownName(ValueError):
    """ccxt has no such exchange; the message names the nearest."""


def load() -> Any:
    """The package `ccxt.pro`; raises `NoLibrary`."""
    try:
        import ccxt.pro
    except ImportError as error:
        raise NoLibrary('install ccxt for it: pip install "kline-gateway[collect]"') from error
    return ccxt.pro


def make_client(library: Any, name: str, kind: str, quirks: Quirks, *, rest_url: str, stream_url: str) -> Any:
    """ccxt's client of an exchange for markets of this `kind` ("spot" or "swap"); raises `UnknownName`.

    Its own rate limiter is on. Numbers stay text. `rest_url`, `stream_url`: other base addresses than the exchange's
    own, "" for these; paths stay.
    """
    if name not in library.exchanges:
        raise UnknownName(f"ccxt has no exchange {name!r}{nearest(name, library.exchanges)}")
    client = getattr(library, name)(
        {"enableRateLimit": True, "timeout": _TIMEOUT_MS, "options": {"defaultType": kind, **(quirks.options or {})}}
    )
    client.number = str
    client.timeframes = {**(client.timeframes or {}), **(quirks.timeframes or {})}
    # Exchanges of several kinds of markets are asked for this one only.
    fetched = client.options.get("fetchMarkets")
    if isinstance(fetched, dict) and kind in (fetched.get("types") or ()):
        fetched["types"] = [kind]
    client.urls["api"] = _moved(client.urls.get("api"), rest_url, stream_url)
    return client


def as_exchange_error(error: Exception, library: Any, answer_headers: Any) -> ExchangeError:
    """What ccxt raised, as the collector's error. `answer_headers`: those of the last answer."""
    text = f"{type(error).__name__}: {str(error)[:200]}"
    if isinstance(error, library.RateLimitExceeded | library.DDoSProtection):
        return ExchangeError(text, retry_after_s=_retry_after_s(answer_headers) or _SILENCE_S)
    return ExchangeError(
        text,
        permanent=isinstance(
            error,
            library.BadRequest
            | library.ArgumentsRequired
            | library.NotSupported
            | library.AuthenticationError
            | library.RestrictedLocation,
        ),
    )


def _retry_after_s(headers: Any) -> float:
    """Seconds that a `Retry-After` header asks for; 0 without one."""
    for name, value in (headers or {}).items():
        if str(name).lower() == "retry-after" and str(value).isdecimal():
            return float(value)
    return 0.0


def _moved(urls: Any, rest_url: str, stream_url: str) -> Any:
    """The addresses of a client with other base addresses; they are nested as ccxt likes it."""
    if isinstance(urls, dict):
        return {name: _moved(url, rest_url, stream_url) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    base = stream_url if urls.startswith("ws") else rest_url
    return base.rstrip("/") + urlsplit(urls).path if base else urls
