"""What the hub publishes at a flush, and what a session takes of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.delivery.channel import Channel
    from gateway.delivery.staleness import FeedState


class Published(NamedTuple):
    """What the hub has published: what every session is served from at this moment."""

    flush_number: int
    channels: Sequence[Channel]
    feed_state: FeedState


class Taken(NamedTuple):
    """What a session takes at one flush."""

    frames: bytes
    updates: int
    """Fragments in `frames`, closed klines included."""
    closed: int
    """Closed klines in `frames`."""
    overrun: bool
    """Whether a channel was marked for a resync, because its log no longer holds what the session lacks."""
