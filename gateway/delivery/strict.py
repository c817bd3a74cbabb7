"""Sessions of strict channels: what is the past for each, how long a channel waits for a close, whom to end. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from gateway.delivery.channel import Joined, StrictKlineChannel

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from gateway.delivery.channel import Channel
    from gateway.delivery.session import Session
    from gateway.delivery.staleness import FeedState
    from gateway.market.series import Series


class StrictSessions:
    """Invariant: a session is noted for a channel only while klines that are of the past for it may still turn up."""

    def __init__(self, close_wait_ms: int) -> None:
        """`close_wait_ms`: how long the next kline waits for the one before it to close."""
        self._close_wait_ms = close_wait_ms
        # In the order in which it was found that they lack a closed kline.
        self._to_end: dict[Session, None] = {}
        self._due: list[StrictKlineChannel] = []
        self._joined: dict[StrictKlineChannel, dict[Session, Joined]] = {}
        # Channels in which a kline waits: for which open time, and since when (`None`: time has not passed since).
        self._waiting: dict[StrictKlineChannel, tuple[int, int | None]] = {}

    def join(self, channel: Channel, session: Session, now_ms: int, *, unread: bool) -> None:
        """A session follows a channel from now on. `unread`: the store has to be read for what has closed already."""
        if not isinstance(channel, StrictKlineChannel):
            return
        joined = Joined(now_ms, channel.series.reached_ms, unread)
        if channel.has_past(joined):
            self._joined.setdefault(channel, {})[session] = joined
            self._leave_out_past(channel, session, joined)

    def correct_time(self, change_ms: int, channels: Iterable[Channel], sessions: Iterable[Session]) -> None:
        """The market's time turns out to be so much later, and so was it when sessions joined.

        Klines of the time between turn up now. When the sessions joined that are noted no more, which may have been
        before those closed or after, is not known: they have to read klines again. `channels`, `sessions`: all.
        """
        for noted in self._joined.values():
            for session, joined in noted.items():
                noted[session] = joined._replace(at_ms=joined.at_ms + change_ms)
        if change_ms > 0:
            for channel in channels:
                if isinstance(channel, StrictKlineChannel) and channel.subscribers:
                    still_noted = self._joined.get(channel, {})
                    self.mark_to_end(channel, (session for session in sessions if session not in still_noted))

    def leave(self, channel: Channel, session: Session) -> None:
        """A session follows a channel no more."""
        if isinstance(channel, StrictKlineChannel) and channel in self._joined:
            self._joined[channel].pop(session, None)
            if not self._joined[channel]:
                del self._joined[channel]

    def remove(self, session: Session) -> None:
        """A session has ended; it has left its channels."""
        self._to_end.pop(session, None)

    def note_feed_state(self, before: FeedState, after: FeedState) -> None:
        """The feed state has changed. All that had closed of symbols that have been read is known now."""
        for channel, sessions in self._joined.items():
            if not before.is_unread(channel.symbol) or after.is_unread(channel.symbol):
                continue
            self._due.append(channel)
            for session, joined in sessions.items():
                if joined.unread:
                    # Whether the source replays the past may be known only once it sends the next kline.
                    sessions[session] = joined._replace(unread=False, read_ms=channel.series.reached_ms)

    def note_refreshed(
        self, channel: Channel, sessions: Iterable[Session], leave_sync: Callable[[Session], None]
    ) -> None:
        """The channel has taken its value: see whether a kline waits now, and who must not be sent all of it.

        `sessions`: all there are, to end those that follow the channel if it lacks a closed kline. `leave_sync`: takes
        a session out of its cohort, so that it is not sent the same as the others.
        """
        if not isinstance(channel, StrictKlineChannel):
            return
        if channel.lacks:
            self.mark_to_end(channel, sessions)
        for session, joined in list(self._joined.get(channel, {}).items()):
            leave_sync(session)
            self._leave_out_past(channel, session, joined)
        open_time_ms = channel.waits_for_ms
        if not open_time_ms:
            self._waiting.pop(channel, None)
        elif channel not in self._waiting or self._waiting[channel][0] != open_time_ms:
            self._waiting[channel] = (open_time_ms, None)

    def mark_to_end(self, channel: StrictKlineChannel, sessions: Iterable[Session]) -> None:
        """Those of the sessions that follow the channel lack a closed kline: they read it when they connect again."""
        self._to_end.update(dict.fromkeys(session for session in sessions if channel.n in session.subscription_set))

    def take_to_end(self, count: int) -> list[Session]:
        """At most `count` sessions to end now: not all clients should come back at once."""
        taken = list(islice(self._to_end, count))
        for session in taken:
            del self._to_end[session]
        return taken

    def take_due(self) -> list[StrictKlineChannel]:
        """The channels to refresh though they have not changed: they go on, or the past of a session is known now."""
        due, self._due = self._due, []
        return [channel for channel in due if channel.go_on or channel in self._joined]

    def advance(self, now_ms: int, being_read: Container[Series] = ()) -> None:
        """Let time pass: channels that have waited long enough go on without the kline that has not closed.

        Those being read from the store wait until that is done.
        """
        for channel, (open_time_ms, since_ms) in list(self._waiting.items()):
            if not channel.subscribers:
                del self._waiting[channel]
            elif since_ms is None:
                self._waiting[channel] = (open_time_ms, now_ms)
            elif now_ms - since_ms >= self._close_wait_ms and channel.series not in being_read:
                channel.go_on = True
                self._due.append(channel)

    def _leave_out_past(self, channel: StrictKlineChannel, session: Session, joined: Joined) -> None:
        """See that a session, which is not in sync, is not sent what had closed before it has joined."""
        session.leave_out(channel.n, channel.first_offset(joined), hidden=channel.shows_past(joined))
        if not channel.has_past(joined):
            self.leave(channel, session)
