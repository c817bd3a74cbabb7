"""Klines and tickers as other collectors write them: cryptofeed's Redis backends, ccxt's rows, Binance's REST rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model.kline import Kline
    from gateway.model.ticker import Ticker

EXCHANGE = "BINANCE"


def seconds(time_ms: int) -> str:
    """A time as cryptofeed writes it: seconds with a fraction."""
    return f"{time_ms // 1000}.{time_ms % 1000:03d}"


def cryptofeed_fields(symbol: str, interval: str, kline: Kline) -> dict[str, str]:
    """The fields of a candle, as `CandlesStream` writes them into an entry."""
    return {
        "exchange": EXCHANGE,
        "symbol": symbol,
        "start": seconds(kline.open_time_ms),
        "stop": seconds(kline.close_time_ms),
        "interval": interval,
        "trades": str(kline.trades),
        "open": kline.open,
        "close": kline.close,
        "high": kline.high,
        "low": kline.low,
        "volume": kline.volume,
        "closed": str(kline.closed),
        "timestamp": seconds(kline.event_time_ms),
        "receipt_timestamp": seconds(kline.event_time_ms),
    }


def cryptofeed_candle(symbol: str, interval: str, kline: Kline) -> str:
    """A candle as a member of the sorted set of `CandlesRedis`; numbers have the digits of the kline."""
    texts = {"exchange", "symbol", "interval"}
    fields = cryptofeed_fields(symbol, interval, kline) | {"closed": str(kline.closed).lower()}
    return (
        "{" + ",".join(f'"{name}":' + (f'"{text}"' if name in texts else text) for name, text in fields.items()) + "}"
    )


def ccxt_row(kline: Kline) -> str:
    """A row of `fetchOHLCV`."""
    return f"[{kline.open_time_ms},{kline.open},{kline.high},{kline.low},{kline.close},{kline.volume}]"


def ccxt_ticker(ticker: Ticker) -> str:
    """The unified ticker; null for what is not known."""
    figures = {
        "last": ticker.last,
        "close": ticker.last,
        "open": ticker.open,
        "high": ticker.high,
        "low": ticker.low,
        "baseVolume": ticker.volume,
        "quoteVolume": ticker.quote_volume,
        "change": ticker.change,
        "percentage": ticker.change_percent,
        "bid": ticker.bid,
        "bidVolume": ticker.bid_quantity,
        "ask": ticker.ask,
        "askVolume": ticker.ask_quantity,
    }
    known = "".join(f',"{name}":{text or "null"}' for name, text in figures.items())
    return f'{{"symbol":"{ticker.symbol}","timestamp":{ticker.event_time_ms}{known}}}'


def array_row(kline: Kline) -> str:
    """A row of Binance's `/api/v3/klines`."""
    prices = f'"{kline.open}","{kline.high}","{kline.low}","{kline.close}","{kline.volume}"'
    taker = f'"{kline.taker_volume}","{kline.taker_quote_volume}"'
    closed = f'{kline.close_time_ms},"{kline.quote_volume}",{kline.trades}'
    return f'[{kline.open_time_ms},{prices},{closed},{taker},"0"]'


def array_ticker(ticker: Ticker) -> str:
    """The object of Binance's `/api/v3/ticker/24hr`; without what is not known."""
    figures = {
        "lastPrice": ticker.last,
        "openPrice": ticker.open,
        "highPrice": ticker.high,
        "lowPrice": ticker.low,
        "volume": ticker.volume,
        "quoteVolume": ticker.quote_volume,
        "priceChange": ticker.change,
        "priceChangePercent": ticker.change_percent,
        "bidPrice": ticker.bid,
        "bidQty": ticker.bid_quantity,
        "askPrice": ticker.ask,
        "askQty": ticker.ask_quantity,
    }
    known = "".join(f',"{name}":"{text}"' for name, text in figures.items() if text)
    return f'{{"symbol":"{ticker.symbol}"{known},"closeTime":{ticker.event_time_ms},"count":{ticker.trades}}}'
