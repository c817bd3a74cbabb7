"""One client's place in the stream.

What a session holds depends on its subscriptions only, never on how far behind it is: the newest values are the
channels', closed klines are the logs', and a session keeps a tick and a place in each log. In step with its tier
(`cohort` is set) it keeps not even that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.delivery.channel import KlineChannel, View
from gateway.delivery.member import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.delivery.channel import Channel
    from gateway.delivery.close_codes import Close
    from gateway.delivery.dialect import Style
    from gateway.delivery.hub import Hub
    from gateway.delivery.throttle import Allowance


NOTHING_SENT = (0, 0)


class Sink(Protocol):
    """Where a session's bytes go: a socket."""

    closing: bool
    """Whether the connection is ending: nothing more is written."""
    last_message_s: float
    """When the client last sent anything, on the loop's clock."""
    received_bytes: int
    """What the client has sent, frames and all."""

    @property
    def id(self) -> int:
        """What the log calls the connection."""
        ...

    @property
    def peer(self) -> str:
        """The other end's address: the client's, or that of a proxy before it."""
        ...

    @property
    def order(self) -> int:
        """Sinks near in it are near in the kernel's memory: written to one after the other they cost less."""
        ...

    def offer(self, frames: bytes) -> bool:
        """Write, unless earlier bytes have not left user space yet; says whether it did."""
        ...

    def busy(self) -> bool:
        """Whether earlier bytes have not left user space yet."""
        ...

    def unsent_bytes(self) -> int:
        """Bytes the kernel holds and has not sent yet."""
        ...

    def abort(self) -> None:
        """End the connection now."""
        ...

    def close(self, reason: Close) -> None:
        """Say goodbye and end the connection."""
        ...

    def warn(self, retry_ms: int) -> None:
        """The connection ends soon: tell the client, and how long to wait before it connects anew."""
        ...

    def shutdown(self) -> None:
        """Write what the client is still owed, announce the end where its protocol does, and close."""
        ...


class SinkBatch(Protocol):
    """Many sinks in a fixed order, written to in one go."""

    def offer(self, start: int, frames: Sequence[bytes]) -> list[int]:
        """Offer a frame each to the sinks from `start` on, nothing where it is empty; returns the places that did not
        take theirs."""
        ...

    def backed_up(self, start: int, stop: int, most_bytes: int) -> list[int]:
        """The places whose kernel holds more than so many bytes unsent."""
        ...


class Session(Member):
    """A member of the hub with a socket, its replies and notices, and its history with both."""

    __slots__ = (
        "allowance",
        "calm_since_s",
        "control",
        "on_control_sent",
        "ends_s",
        "floor",
        "load_notice",
        "max_rate",
        "misses",
        "notice",
        "sent",
        "sink",
        "stalled_since_s",
    )

    def __init__(self, sink: Sink, style: Style) -> None:
        super().__init__(style)
        self.sink = sink
        self.order = sink.order
        # What is to be said besides news: replies, the interval it is served at, and that of everybody.
        self.control: list[bytes] = []
        self.notice: tuple[int, str] | None = None
        self.load_notice = b""
        # Called once after replies have been written, while somebody waits for that.
        self.on_control_sent: Callable[[], None] | None = None
        # What it asked for: bytes, updates a second (0: no limit), the tier that makes. How it keeps up: throttle.py.
        self.allowance: Allowance | None = None
        self.max_rate = 0.0
        self.floor = 0
        self.misses = 0
        self.calm_since_s = 0.0
        self.stalled_since_s: float | None = None
        # When its connection has lived long enough, on the loop's clock; None: nobody has said yet.
        self.ends_s: float | None = None
        # How much news the last `take` gave, and how many closed klines among it.
        self.sent = NOTHING_SENT

    def take(self, hub: Hub[Session], budget_bytes: int, now_ms: int) -> bytes:
        """The frames this session is due now, at most about `budget_bytes`: replies, then notices, then news by lane.

        What does not fit stays owed. Replies and one piece of news always go out, so that there is always progress.
        """
        dialect = self.style[0]
        self.sent = NOTHING_SENT
        frames, self.control = self.control, []
        if self.feed_state is not hub.state and self.subscription_set.ns:
            self.feed_state = hub.state
            frames.append(dialect.status(self.subscription_set.ns, hub.state))
        if self.load_notice:
            frames.append(self.load_notice)
            self.load_notice = b""
        if self.notice is not None:
            frames.append(dialect.throttle(*self.notice))
            self.notice = None
        if hub.tick >= self.hold_until_flush:
            fragments = self._news(hub, budget_bytes - sum(map(len, frames)))
            if fragments:
                frames.append(dialect.beat(b"".join(fragments), now_ms, spare=False))
        return b"".join(frames)

    def is_caught_up(self, hub: Hub[Session]) -> bool:
        """Whether nothing is owed any more after a `take` at this tick."""
        waits = self.pending or self.control or self.to_resync or self.allowance or hub.tick < self.hold_until_flush
        return not waits and self.served_at_flush == hub.tick

    def _news(self, hub: Hub[Session], budget_bytes: int) -> list[bytes]:
        channels, ns = hub.channels, self.subscription_set.ns
        served, self.served_at_flush = self.served_at_flush, hub.tick
        # What has waited longest goes first; the rest in the watchlist's order, klines before tickers.
        waiting = list(self.pending)
        waiting += [n for n in ns if channels[n].changed_at_flush > served and n not in self.pending]
        fragments: list[bytes] = []
        left = self._closed(hub, fragments, budget_bytes)
        closed = len(fragments)
        if self.to_resync:
            # Nothing of a torn channel may come before its resync: a client that reconnects now must still miss it.
            waiting = [n for n in waiting if n not in self.to_resync]
        _, closed_only = self.style
        if closed_only:
            waiting = []
        # A value of a held lane is newer than what the tier was last sent: taking it now would put it out of step.
        held = [n for n in waiting if channels[n].lane in hub.held]
        if held:
            waiting = [n for n in waiting if channels[n].lane not in hub.held]
        if waiting and left is not None:
            waiting.sort(key=lambda n: channels[n].lane)
            left = self._values(channels, fragments, waiting, left)
        waiting += held
        self.pending = dict.fromkeys(waiting)
        if left is None and not waiting:
            # Closed klines alone are still owed: the places know them, `owed` keeps the session behind.
            self.pending = dict.fromkeys(n for n in ns if self._has_pending_closed(channels[n]))
        self.sent = (len(fragments), closed)
        return fragments

    def _closed(self, hub: Hub[Session], fragments: list[bytes], left: int) -> int | None:
        """Closed klines from each place on; returns what is left of the budget, `None` if it cut them short."""
        dialect = self.style[0]
        for n in self.subscription_set.ns[: self.subscription_set.klines]:
            channel = hub.channels[n]
            if not self._has_pending_closed(channel):
                continue
            assert isinstance(channel, KlineChannel)
            if self.log_offsets[n] < channel.closed_start:
                if channel.view is View.NATIVE:
                    self.to_resync.add(n)
                    hub.to_resync.add(self)
                    self.log_offsets[n] = channel.closed_end
                    continue
                # These clients know no resync: they go on with the oldest there is.
                self.log_offsets[n] = channel.closed_start
            for kline in channel.closed_since(self.log_offsets[n]):
                if left <= 0:
                    return None
                fragment = dialect.closed(n, kline)
                fragments.append(fragment)
                left -= len(fragment)
                self.log_offsets[n] += 1
        return left

    def _has_pending_closed(self, channel: Channel) -> bool:
        if not isinstance(channel, KlineChannel) or channel.n in self.to_resync:
            return False
        return channel.closed_end > self.log_offsets[channel.n]

    def _values(self, channels: list[Channel], fragments: list[bytes], waiting: list[int], left: int) -> int | None:
        """Newest values, whole, in order; what was sent is taken off `waiting`."""
        dialect = self.style[0]
        for sent, n in enumerate(waiting):
            if left <= 0 and fragments:
                del waiting[:sent]
                return None
            fragment = channels[n].full(dialect)
            if fragment:
                fragments.append(fragment)
                left -= len(fragment)
        waiting.clear()
        return left
