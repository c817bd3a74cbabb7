"""What an exchange can do for a collector, by what ccxt says of it. Pure: reads attributes, asks nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.model.interval import INTERVALS

if TYPE_CHECKING:
    from collector.ccxt_pro.quirks import Quirks

# Klines a question asks for where ccxt does not know the most that one returns.
_ROWS = 100


class TooLittle(ValueError):
    """Klines or prices of the exchange cannot be collected; the message says what is missing."""


class Abilities(NamedTuple):
    """The methods of ccxt's client to use, and what there is not."""

    klines: str
    """Streams klines; "" where they can only be asked for."""
    tickers: str
    """Streams prices."""
    clock: bool
    """Whether the exchange tells its time."""
    turnover: bool
    """Whether it tells the turnover of all pairs at once: without, pairs must be named."""
    rows: int
    """Most klines that one question returns."""
    intervals: tuple[str, ...]
    lacks: tuple[str, ...]
    """What its data does not have, in plain words."""


def abilities_of(client: Any, kind: str, quirks: Quirks) -> Abilities:
    """What ccxt's `client` can do with markets of this `kind` ("spot" or "swap"); raises `TooLittle`."""
    has = client.has
    klines = _first(has, watchOHLCVForSymbols="watch_ohlcv_for_symbols", watchOHLCV="watch_ohlcv")
    tickers = _first(has, watchTickers="watch_tickers", watchTicker="watch_ticker")
    missing = [
        text
        for text, there in (
            ("no klines to ask for (fetchOHLCV)", has.get("fetchOHLCV") is True),
            ("no stream of prices (watchTickers, watchTicker)", bool(tickers)),
            ("no kline interval of the gateway's", any(name in INTERVALS for name in client.timeframes or {})),
        )
        if not there
    ]
    if missing:
        raise TooLittle(f"{client.id}: {', '.join(missing)}: it cannot be collected with ccxt")
    turnover = has.get("fetchTickers") is True
    clock = has.get("fetchTime") is True
    return Abilities(
        klines,
        tickers,
        clock,
        turnover,
        _rows(client, kind),
        tuple(name for name in INTERVALS if name in client.timeframes),
        tuple(_lacks(klines, quirks, clock=clock, turnover=turnover)),
    )


def _first(has: Any, **methods: str) -> str:
    return next((method for name, method in methods.items() if has.get(name) is True), "")


def _rows(client: Any, kind: str) -> int:
    features = getattr(client, "features", None) or {}
    of_kind = features.get(kind) or {}
    if kind == "swap":
        of_kind = of_kind.get("linear") or of_kind.get("inverse") or of_kind
    limit = (of_kind.get("fetchOHLCV") or {}).get("limit")
    return limit if isinstance(limit, int) and limit > 0 else _ROWS


def _lacks(klines: str, quirks: Quirks, *, clock: bool, turnover: bool) -> list[str]:
    lacks = []
    if not klines:
        lacks.append("no stream of klines: each is asked for once it has closed, forming ones are made of prices")
    elif quirks.sends_final:
        lacks.append("no closed flag: a kline closes when the next one begins, or by the clock")
    else:
        lacks.append(
            "no closed flag, nor a last state that can be relied on: each kline is asked for once it is over, which "
            "makes it some 2 s late"
        )
    lacks.append("klines without quote volume, trade count and taker volumes: these are 0")
    if not clock:
        lacks.append("does not tell its time: this machine's clock is used")
    if not turnover:
        lacks.append("no turnover of all pairs at once: name them (collect.symbols)")
    return lacks
