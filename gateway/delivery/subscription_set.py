"""A set of subscriptions, shared by all sessions that have the same one, and cohorts, which share frames."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.delivery.channel import Channel
    from gateway.delivery.dialect import Style
    from gateway.delivery.staleness import FeedState

FragmentTable = list[bytes]
"""Fragments of one flush by channel number; b"" where nothing has changed."""


class SubscriptionSet:
    """Immutable; channel numbers with klines before tickers, which is the order they are sent in.

    `pick` gathers the fragments of a table at C speed: the one pass over the subscriptions per cohort and flush.
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
    """Interns subscription sets: equal ones are one object, kept as long as a session has it."""

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


class Cohort:
    """Sessions in sync that share group, style and subscription set: one join of fragments serves them all."""

    __slots__ = (
        "feed_state",
        "feed_state_before",
        "frame",
        "framed_at_flush",
        "last_frame_s",
        "size",
        "style",
        "subscription_set",
    )

    def __init__(
        self, style: Style, subscription_set: SubscriptionSet, feed_state: FeedState, flush: int, now_s: float
    ) -> None:
        self.style = style
        self.subscription_set = subscription_set
        self.size = 0
        """How many sessions it has."""
        self.feed_state = self.feed_state_before = feed_state
        """The feed state that its sessions were sent; `feed_state_before`: the one before `framed_at_flush`."""
        self.frame: bytes | None = b""
        """What is written to each session at `framed_at_flush`; `None`: too much for one write."""
        self.framed_at_flush = flush
        self.last_frame_s = now_s
        """When its sessions were last sent anything with a flush, on the monotonic clock."""


def _picker(ns: tuple[int, ...]) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    if not ns:
        return lambda table: ()
    if len(ns) == 1:
        (n,) = ns
        return lambda table: (table[n],)
    return itemgetter(*ns)
