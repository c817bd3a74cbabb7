"""How often to write, so that the commands sent to Redis stay within a number a day. Pure.

Hosted Redis bills by the command, inside of pipelines, transactions and scripts too (`docs/hosted_redis.md`). What
saves is to say more with each: a bundle carries all messages of a flush, one command sets all keys, and one stores
several klines of a series.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from gateway.model.interval import DAY_MS, INTERVALS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

DAY_S = 86_400
STORE_TICKER_S = 20.0
"""A ticker lives for 60 s in Redis: two of three writes may fail before it is gone."""

FORMING_MAX_S = 1.0
"""With writes further apart than this, forming klines are left to the gateway: they cost most of the bytes."""

_FLUSH_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0, 12.0)
"""Parts of a minute, so that the flush after the close of a minute is one of them. The longest is below the 15 s after
which a gateway takes a feed that brings nothing for stale."""

_KEEPING = 500
"""Commands a day for what is not market data (the subscription to requests, reconnecting), at the most."""

_LEASE_A_DAY = 3 * DAY_S
"""With a lease: to renew it once a second, which is a script of two commands."""


class BudgetError(ValueError):
    """No rates fit; the message says how many commands are needed at least."""


class Rates(NamedTuple):
    """How often what is written."""

    flush_s: float = 0.0
    """Shortest time between two writes; 0: at once."""
    close_s: float = 1.5
    """A closed kline waits for others to close, but no longer than this, even where the next flush is later."""
    forming: bool = True
    """Whether forming klines are published."""
    bundle: bool = False
    """Whether the messages of a flush are published as one."""
    store_ticker_s: float = STORE_TICKER_S
    """Shortest time between two writes of one ticker's key."""
    expire_tickers: bool = True
    """Whether tickers expire. Otherwise all are stored by one command, which cannot set a time to live."""
    store_every: int = 1
    """So many closed klines of a series are stored together ..."""
    late_s: float = 0.0
    """... but none later than this."""
    trim_more: int = 0
    """So many more klines than needed are removed where one is too many, so that the next ones need no command."""
    renew_s: float = 3600.0
    """Shortest time between two renewals of a series' time to live, which is a day."""


_FRUGAL = Rates(bundle=True, store_ticker_s=45.0, trim_more=20, renew_s=12 * 3600.0)
_STEPS = (
    (Rates(bundle=True), 1.0),
    (_FRUGAL, 2.0),
    (_FRUGAL._replace(expire_tickers=False, store_ticker_s=60.0, store_every=15, late_s=4 * 3600.0), 5.0),
    (
        _FRUGAL._replace(expire_tickers=False, store_ticker_s=60.0, store_every=60, late_s=12 * 3600.0, trim_more=100),
        _FLUSH_S[-1],
    ),
)
"""Ways to store, the freshest first, and with which flushes at the slowest before the next way is the better one. What
is stored late is in the bundles in time: only a gateway that has just started needs it earlier, and asks."""

_UNBUNDLED = Rates(store_ticker_s=45.0, trim_more=20, renew_s=12 * 3600.0)


def rates_for(
    commands_a_day: int, symbols: int, intervals: Collection[str], *, bundle: bool = True, lease: bool = False
) -> Rates:
    """The freshest rates within the budget; raises `BudgetError`.

    `bundle` off: each message has a command of its own. `lease`: another collector stands by, which needs every kline
    stored at once.
    """
    tried = list(_candidates(bundle=bundle, late=not lease))
    for rates in tried:
        if commands_for(rates, symbols, intervals, lease=lease) <= commands_a_day:
            return rates
    least = commands_for(tried[-1], symbols, intervals, lease=lease)
    advice = "" if bundle or lease else f", or {commands_for(list(_candidates())[-1], symbols, intervals)} with bundles"
    raise BudgetError(
        f"collect.commands_a_day: expected at least {least} for {symbols} symbols and {len(intervals)} intervals"
        f"{advice}; got {commands_a_day}"
    )


def commands_for(rates: Rates, symbols: int, intervals: Collection[str], *, lease: bool = False) -> int:
    """Commands a day at these rates, where every ticker changes all the time; `rates.flush_s` above 0."""
    flushes = DAY_S / rates.flush_s
    closes = [DAY_MS / (INTERVALS[name].length_ms or 28 * DAY_MS) for name in intervals]
    written = [each / _together(rates, each) for each in closes]
    trims = [min(each, count / max(1, rates.trim_more)) for each, count in zip(written, closes, strict=True)]
    # One of the series with the shortest klines is written in nearly every flush that writes any.
    keys = min(flushes, max(written) * (1 if rates.store_every == 1 else 10))
    if rates.expire_tickers:
        keys += min(flushes, symbols * DAY_S / rates.store_ticker_s)
        stored = symbols * DAY_S / rates.store_ticker_s
    else:
        keys += DAY_S / rates.store_ticker_s
        stored = 0.0
    renewals = symbols * len(intervals) * DAY_S / rates.renew_s
    messages = flushes
    if not rates.bundle:
        messages = symbols * (flushes * (1 + rates.forming * len(intervals)) + sum(closes))
    total = symbols * (sum(written) + sum(trims)) + min(flushes, keys) + stored + renewals + messages
    # The script, and its look at the lease, once for each flush.
    return ceil(total + _KEEPING + lease * (2 * flushes + _LEASE_A_DAY))


def _candidates(*, bundle: bool = True, late: bool = True) -> Iterator[Rates]:
    """Rates from the freshest to the cheapest."""
    for rates, slowest_s in _STEPS if bundle else ((_UNBUNDLED, 60.0),):
        if late or rates.store_every == 1:
            for flush_s in (*_FLUSH_S, 20.0, 30.0, 60.0):
                if flush_s <= slowest_s:
                    yield rates._replace(flush_s=flush_s, forming=flush_s <= FORMING_MAX_S)


def _together(rates: Rates, closes_a_day: float) -> float:
    """How many closed klines of a series are stored together."""
    return max(1.0, min(rates.store_every, rates.late_s / DAY_S * closes_a_day))
