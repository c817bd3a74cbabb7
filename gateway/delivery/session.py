"""One client's subscriptions, and what is pending for it.

What a session holds depends on its subscriptions only, never on how far behind it is: the newest values are the
channels', closed klines are the logs', and a session that is catching up keeps a flush number and an offset in each
log. In sync with its group (`cohort` is set) it keeps not even that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from gateway.delivery.channel import KlineChannel, View, changed_states
from gateway.delivery.commands import RESYNC
from gateway.delivery.published import Taken
from gateway.delivery.throttle import Pace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from gateway.delivery.channel import Channel, Lane
    from gateway.delivery.commands import SnapshotRequest
    from gateway.delivery.dialect import Style
    from gateway.delivery.published import Published
    from gateway.delivery.sink import Sink
    from gateway.delivery.staleness import FeedState
    from gateway.delivery.subscription_set import Cohort, SubscriptionSet

CONTROL_MAX_BYTES = 256 * 1024
"""Replies that may wait for one client; past it, its commands are not read until it has read some."""


class Session:
    """One client. Others read the fields and call the methods; only the methods write the fields.

    In sync (`cohort` is set) the session has everything up to its group's last flush and keeps no log offsets. Catching
    up, it lacks what changed after `served_at_flush`, the channels in `pending`, and each log from its offset on.
    """

    __slots__ = (
        "_load_notice",
        "_tier_notice",
        "cohort",
        "commands_paused",
        "control",
        "depths",
        "ends_s",
        "feed_state",
        "hidden",
        "hold_until_flush",
        "lacks_closed",
        "log_offsets",
        "order",
        "pace",
        "pending",
        "served_at_flush",
        "sink",
        "snapshots_due",
        "style",
        "subscription_set",
    )

    subscription_set: SubscriptionSet

    def __init__(self, sink: Sink, style: Style) -> None:
        self.sink = sink
        self.style = style
        self.order = sink.order
        """By what the sessions of a tier are sorted before they are written to."""
        self.pace = Pace()
        self.cohort: Cohort | None = None
        self.feed_state: FeedState | None = None
        """The feed state that the client was sent last, while catching up; `None`: none yet."""
        self.served_at_flush = 0
        self.hold_until_flush = 0
        """The first flush that may serve the session: earlier values are older than its snapshots."""
        self.log_offsets: dict[int, int] = {}
        """By channel number: the offset in the log of closed klines from which the session lacks them."""
        self.pending: dict[int, None] = {}
        """Channels whose newest value the session lacks whenever it changed; what has waited longest comes first."""
        self.hidden: frozenset[int] = frozenset()
        """Channels whose value is not sent, because it is a kline of the past for this client."""
        self.lacks_closed = False  # Whether pending closed klines of a channel without resyncs were dropped.
        self.snapshots_due: dict[int, SnapshotRequest] = {}
        """By channel number: the snapshots that must be sent before anything else of their channels."""
        self.depths: dict[int, int] = {}
        """By channel number: closed klines that a resync has to have, where the client has more than are cached."""
        self.control: list[bytes] = []
        """Replies that have not been written yet."""
        self.commands_paused = False
        """Whether the client's commands are not read, because too many replies wait."""
        self.ends_s: float | None = None
        """When the connection has lived long enough, on the loop's clock; `None`: not decided yet."""
        self._tier_notice: tuple[int, str] | None = None
        self._load_notice = b""

    # Subscriptions.

    def subscribe(self, subscription_set: SubscriptionSet, log_offsets: dict[int, int], hold_until_flush: int) -> None:
        """Replace the subscriptions by more of them; `log_offsets` are where the new snapshots end."""
        self.subscription_set = subscription_set
        self.log_offsets.update(log_offsets)
        self.hold_until_flush = hold_until_flush

    def unsubscribe(self, subscription_set: SubscriptionSet, gone: Iterable[int]) -> None:
        """Replace the subscriptions by fewer of them, and drop all that is kept of the channels that are gone."""
        self.subscription_set = subscription_set
        for n in gone:
            self.log_offsets.pop(n, None)
            self.pending.pop(n, None)
            self.snapshots_due.pop(n, None)
            self.depths.pop(n, None)
        self.hidden = self.hidden.difference(gone)

    def set_style(self, style: Style) -> None:
        """Render changes differently from now on. All values become pending: the old style may have left some out."""
        self.style = style
        if self.feed_state is not None and not self.feed_state.live:
            # Which lanes a channel shows may have changed.
            self.feed_state = None
        self.pending = dict.fromkeys(self.subscription_set.ns)

    def add_pending(self, ns: Iterable[int]) -> None:
        """Have the newest values of these channels sent, whether or not they change."""
        self.pending.update(dict.fromkeys(ns))

    def leave_out(self, n: int, log_offset: int, *, hidden: bool) -> None:
        """Count the closed klines of channel `n` before that offset as sent; send its value only if not `hidden`."""
        self.log_offsets[n] = max(self.log_offsets[n], log_offset)
        if hidden != (n in self.hidden):
            self.hidden = self.hidden.symmetric_difference((n,))
            self.pending[n] = None

    # In sync or catching up.

    def begin(self, subscription_set: SubscriptionSet, flush_number: int) -> None:
        """Start with these subscriptions; everything up to this flush counts as served."""
        self.subscription_set = subscription_set
        self.served_at_flush = flush_number

    def enter_sync(self, cohort: Cohort) -> None:
        self.cohort = cohort
        self.log_offsets = {}

    def leave_sync(self, served_at_flush: int, log_offsets: dict[int, int], feed_state: FeedState) -> None:
        """Catch up from now on; the arguments say what the session has been sent so far."""
        self.cohort = None
        self.served_at_flush = served_at_flush
        self.log_offsets = log_offsets
        self.feed_state = feed_state

    def is_caught_up(self, published: Published) -> bool:
        """Whether nothing is pending any more after a `take` at this flush."""
        number = published.flush_number
        waits = (
            self.pending or self.control or self.snapshots_due or self.pace.allowance or number < self.hold_until_flush
        )
        return not waits and self.served_at_flush == number

    def mark_for_resync(self, n: int, log_offset: int) -> None:
        """Send nothing of channel `n` until its resync, which covers what closes before `log_offset`."""
        self.log_offsets[n] = log_offset
        # A snapshot that was asked for and is not sent yet covers the resync.
        self.snapshots_due.setdefault(n, RESYNC._replace(history=self.depths.get(n, 0)))

    def want_snapshot(self, n: int, request: SnapshotRequest) -> None:
        """Send nothing of channel `n` before the snapshot that the client asks for."""
        self.snapshots_due[n] = request

    def note_depth(self, n: int, klines: int) -> None:
        """The client holds so many closed klines of channel `n`, as far as there are."""
        self.depths[n] = max(klines, self.depths.get(n, 0))

    def put_off_snapshot(self, n: int) -> None:
        """Send the snapshot of channel `n` after the others that are due."""
        if request := self.snapshots_due.pop(n, None):
            self.snapshots_due[n] = request

    def note_snapshot(self, n: int, log_offset: int, hold_until_flush: int) -> None:
        """A snapshot of channel `n` goes out now, which covers what closed before `log_offset`."""
        self.snapshots_due.pop(n, None)
        self.log_offsets[n] = log_offset
        self.hold_until_flush = hold_until_flush

    def note_feed_state(self, feed_state: FeedState) -> None:
        """A snapshot tells the client the feed state. It does not replace a state that the other channels have."""
        if self.feed_state is None:
            self.feed_state = feed_state

    # What is sent besides updates.

    def queue_control(self, frames: bytes) -> None:
        """Append frames to the replies."""
        self.control.append(frames)

    def take_control(self) -> bytes:
        """Take all replies that wait."""
        control, self.control = self.control, []
        return b"".join(control)

    def pause_commands(self) -> None:
        """Read no more commands if too many replies wait."""
        if not self.commands_paused and sum(map(len, self.control)) > CONTROL_MAX_BYTES:
            self.commands_paused = True
            self.sink.pause()

    def resume_commands(self) -> None:
        """Read commands again after a pause: the replies have been written."""
        if self.commands_paused:
            self.commands_paused = False
            self.sink.resume()

    def announce_interval(self, interval_ms: int, reason: str) -> None:
        """Tell the client, with its next frames, how often it is served now."""
        self._tier_notice = (interval_ms, reason)

    def announce_load(self, frame: bytes) -> None:
        """Send a frame about the load of the process with the next frames; a newer one replaces it."""
        self._load_notice = frame

    def end_at(self, ends_s: float) -> None:
        self.ends_s = ends_s

    # Taking what is pending.

    def take(
        self, published: Published, budget_bytes: int, now_ms: int, held_lanes: AbstractSet[Lane] = frozenset()
    ) -> Taken:
        """The frames the session may be sent now, about `budget_bytes` at most: replies, notices, updates by lane.

        Values of `held_lanes` are left pending, because its group waits with them, and so is what does not fit. Replies
        and one update always fit, so that there is always progress.
        """
        dialect = self.style[0]
        frames, self.control = self.control, []
        if self.feed_state is not published.feed_state and self.subscription_set.ns:
            before, self.feed_state = self.feed_state, published.feed_state
            ns, (_, closed_only) = self.subscription_set.ns, self.style
            if states := changed_states(published.channels, ns, before, self.feed_state, closed_only=closed_only):
                frames.append(dialect.status(states))
        if self._load_notice:
            frames.append(self._load_notice)
            self._load_notice = b""
        if self._tier_notice is not None:
            frames.append(dialect.throttle(*self._tier_notice))
            self._tier_notice = None
        if published.flush_number < self.hold_until_flush:
            return Taken(b"".join(frames), 0, 0, False)
        fragments, closed, overrun = self._updates(published, budget_bytes - sum(map(len, frames)), held_lanes)
        if fragments:
            frames.append(dialect.frame(b"".join(fragments), now_ms, spare=False))
        return Taken(b"".join(frames), len(fragments), closed, overrun)

    def _updates(
        self, published: Published, budget_bytes: int, held_lanes: AbstractSet[Lane]
    ) -> tuple[list[bytes], int, bool]:
        """Fragments, how many of them are closed klines, and whether a log was overrun."""
        channels, ns = published.channels, self.subscription_set.ns
        served, self.served_at_flush = self.served_at_flush, published.flush_number
        # What has waited longest goes first; the rest in the order of subscriptions, klines before tickers.
        waiting = list(self.pending)
        waiting += [n for n in ns if channels[n].changed_at_flush > served and n not in self.pending]
        fragments: list[bytes] = []
        marked = len(self.snapshots_due)
        left = self._closed(channels, fragments, budget_bytes)
        closed = len(fragments)
        if self.snapshots_due:
            # Nothing of such a channel may come before its snapshot: a client that reconnects now must still miss it.
            waiting = [n for n in waiting if n not in self.snapshots_due]
        if self.hidden:
            waiting = [n for n in waiting if n not in self.hidden]
        _, closed_only = self.style
        if closed_only:
            waiting = []
        # A value of a held lane is newer than what the group was last sent: with it the session would be ahead.
        held = [n for n in waiting if channels[n].lane in held_lanes] if held_lanes else []
        if held:
            waiting = [n for n in waiting if channels[n].lane not in held_lanes]
        if waiting and left is not None:
            waiting.sort(key=lambda n: channels[n].lane)
            left = self._values(channels, fragments, waiting, left)
        waiting += held
        self.pending = dict.fromkeys(waiting)
        if left is None and not waiting:
            # Only closed klines are still pending: the log offsets say which, `pending` keeps the session catching up.
            self.pending = dict.fromkeys(n for n in ns if self._has_pending_closed(channels[n]))
        return fragments, closed, len(self.snapshots_due) > marked

    def _closed(self, channels: Sequence[Channel], fragments: list[bytes], left: int) -> int | None:
        """Closed klines from each offset on; returns what is left of the budget, `None` if it cut them short."""
        dialect = self.style[0]
        for n in self.subscription_set.ns[: self.subscription_set.klines]:
            channel = channels[n]
            if not self._has_pending_closed(channel):
                continue
            if self.log_offsets[n] < channel.closed_start:
                if channel.view is View.NATIVE:
                    self.mark_for_resync(n, channel.closed_end)
                    continue
                # These clients know no resync.
                self.lacks_closed = True
                self.log_offsets[n] = channel.closed_start
            for kline in channel.closed_since(self.log_offsets[n]):
                if left <= 0:
                    return None
                fragment = dialect.closed(n, kline)
                fragments.append(fragment)
                left -= len(fragment)
                self.log_offsets[n] += 1
        return left

    def _has_pending_closed(self, channel: Channel) -> TypeGuard[KlineChannel]:
        if not isinstance(channel, KlineChannel) or channel.n in self.snapshots_due:
            return False
        return channel.closed_end > self.log_offsets[channel.n]

    def _values(self, channels: Sequence[Channel], fragments: list[bytes], waiting: list[int], left: int) -> int | None:
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
