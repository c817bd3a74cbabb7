"""A set of subscriptions, shared by all sessions that have the same one."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.hub.channel import Channel

Sheet = list[bytes]
"""Fragments of one beat by channel number; b"" where there is no news."""


class Watchlist:
    """Immutable; channel numbers with klines before tickers, which is the order they are sent in.

    `pick` gathers a sheet's fragments at C speed: the one membership pass per cohort and flush.
    """

    __slots__ = ("__weakref__", "klines", "ns", "pick")

    def __init__(self, ns: tuple[int, ...], klines: int) -> None:
        self.ns = ns
        self.klines = klines
        """How many of `ns`, from the front, are kline channels."""
        self.pick = _picker(ns)

    def __contains__(self, n: int) -> bool:
        return n in self.ns


class Watchlists:
    """Interns watchlists: equal sets are one object, kept as long as a session has it."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[int, ...], Watchlist] = WeakValueDictionary()

    def of(self, channels: Iterable[Channel]) -> Watchlist:
        ordered = sorted(channels, key=lambda channel: (channel.lane, channel.n))
        ns = tuple([channel.n for channel in ordered])
        watchlist = self._known.get(ns)
        if watchlist is None:
            watchlist = self._known[ns] = Watchlist(ns, sum(not channel.lane for channel in ordered))
        return watchlist

    def __len__(self) -> int:
        return len(self._known)


def _picker(ns: tuple[int, ...]) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    if not ns:
        return lambda sheet: ()
    if len(ns) == 1:
        (n,) = ns
        return lambda sheet: (sheet[n],)
    return itemgetter(*ns)
