"""The exchanges that can be collected, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.binance.exchange import Binance
from collector.binance.facts import SPOT, USDM
from collector.naming import Renamed
from gateway.config import CollectConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.exchange import Exchange, Venue


class UnknownExchange(ValueError):
    """No such exchange, or not with these settings; the message says what is possible."""


def make_exchange(settings: CollectConfig) -> Exchange:
    """The exchange that the settings name; raises `UnknownExchange`."""
    native = settings.exchange in (SPOT, USDM)
    exchange = _binance(settings) if native else _by_ccxt(settings)
    venue = exchange.venue
    if missing := [name for name in settings.intervals if name not in venue.intervals]:
        raise UnknownExchange(
            f"collect.intervals: {venue.name} has no {', '.join(missing)}; it has {', '.join(venue.intervals)}, "
            "and the gateway makes longer ones of those"
        )
    # Binance's own names are those of the default already.
    return exchange if native and settings.symbol == CollectConfig().symbol else Renamed(exchange, settings.symbol)


def describe(venue: Venue) -> Iterator[str]:
    """What an exchange is, line by line, for people."""
    yield f"{venue.title} ({venue.name}) {venue.url}"
    yield f"intervals: {', '.join(venue.intervals)}"
    yield from (f"lacks: {text}" for text in venue.lacks)
    yield f"terms: {venue.terms_url or 'see what the exchange says of the use of its market data'}"


def _binance(settings: CollectConfig) -> Exchange:
    return Binance(
        settings.exchange,
        rest_url=settings.rest_url,
        stream_url=settings.stream_url,
        weight_share=settings.weight_share,
    )


def _by_ccxt(settings: CollectConfig) -> Exchange:
    from collector.ccxt_pro.abilities import TooLittle
    from collector.ccxt_pro.exchange import CcxtExchange
    from collector.ccxt_pro.library import NoLibrary, UnknownName

    try:
        exchange = CcxtExchange(settings.exchange, rest_url=settings.rest_url, stream_url=settings.stream_url)
    except NoLibrary as error:
        raise UnknownExchange(
            f"collect.exchange: {SPOT} and {USDM} are built in; {settings.exchange!r} is none of them: {error}"
        ) from error
    except (TooLittle, UnknownName) as error:
        raise UnknownExchange(f"collect.exchange: {error}") from error
    if settings.top and not exchange.abilities.turnover:
        raise UnknownExchange(
            f"collect.top: {settings.exchange} does not tell the turnover of its pairs; name them (collect.symbols)"
        )
    return exchange
