"""A set of subscriptions, shared by all sessions that have the same one."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.delivery.channel import Channel

FragmentTable = list[bytes]
"""Fragments of one beat by channel number; b"" where there is no news."""


class SubscriptionSet:
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


class SubscriptionSets:
    """Interns watchlists: equal sets are one object, kept as long as a session has it."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[int, ...], SubscriptionSet] = WeakValueDictionary()

    def of(self, channels: Iterable[Channel]) -> SubscriptionSet:
        ordered = sorted(channels, key=lambda channel: (channel.lane, channel.n))
        ns = tuple([channel.n for channel in ordered])
        subscription_set = self._known.get(ns)
        if subscription_set is None:
            subscription_set = self._known[ns] = SubscriptionSet(ns, sum(not channel.lane for channel in ordered))
        return subscription_set

    def __len__(self) -> int:
        return len(self._known)


def _picker(ns: tuple[int, ...]) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    if not ns:
        return lambda sheet: ()
    if len(ns) == 1:
        (n,) = ns
        return lambda sheet: (sheet[n],)
    return itemgetter(*ns)
