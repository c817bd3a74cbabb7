"""A tier: the sessions that are written to equally often, in groups that are flushed one after the other. Pure.

Groups keep each flush short, whatever the number of clients: between two of them the feed is read and others are
answered, and what a client is sent is as new as its own group's flush. Each group costs its own encoding of what has
changed, so there are few: a group is split when its flushes take long.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from gateway.delivery.group import Group
from gateway.delivery.throttle import TIER_INTERVALS_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.delivery.channel import Channel
    from gateway.delivery.session import Session

SPLIT_S = 0.003
"""If the flushes of a group take longer on average, half of its sessions become a group of their own."""

GROUPS_MAX = 8
"""Groups of a tier at most: with more of them encoding would take as long as writing."""


class Tier:
    """Groups are made as flushes become long; there is always one."""

    def __init__(self, number: int, channels: Sequence[Channel]) -> None:
        """`channels`: all channels by number."""
        self.number = number
        self.interval_s = TIER_INTERVALS_S[number]
        self.groups = [Group(number, channels)]
        self._channels = channels
        self._group_of: dict[Session, Group] = {}
        self._conflated_before = 0

    @property
    def conflated(self) -> int:
        """Values that a newer one replaced before the flush that would have sent them."""
        return self._conflated_before + sum(group.conflated for group in self.groups)

    def sessions(self) -> list[Session]:
        return [session for group in self.groups for session in group.sessions()]

    def catching_up(self) -> list[Session]:
        """The sessions that are not in sync with their group."""
        return [session for group in self.groups for session in group.catching_up]

    def behind(self) -> int:
        """How many sessions are catching up."""
        return sum(len(group.catching_up) for group in self.groups)

    def cohorts(self) -> int:
        """How many cohorts its groups have."""
        return sum(len(group.cohorts) for group in self.groups)

    def group_of(self, session: Session) -> Group:
        """The group that a session of the tier is in."""
        return self._group_of[session]

    def join(self, session: Session) -> None:
        """Put a session into the group with the fewest sessions. It catches up."""
        self._put(session, min(self.groups, key=attrgetter("size")))

    def remove(self, session: Session) -> None:
        """Remove a session of the tier."""
        self._group_of.pop(session).remove(session)

    def arrange_groups(self) -> None:
        """Drop groups without sessions, but for one, and split those whose flushes take long; not during a flush."""
        kept = [group for group in self.groups if group.size] or self.groups[:1]
        self._conflated_before += sum(group.conflated for group in self.groups if group not in kept)
        self.groups = kept
        for group in tuple(kept):
            if group.cost_s >= SPLIT_S and group.size > 1 and len(self.groups) < GROUPS_MAX:
                self._split(group)

    def _split(self, group: Group) -> None:
        """Let half of a group's sessions be a group of their own. They catch up."""
        half = Group(self.number, self._channels, group)
        self.groups.append(half)
        for session in sorted(group.sessions(), key=attrgetter("order"))[1::2]:
            group.remove(session)
            self._put(session, half)
        half.cost_s = group.cost_s = group.cost_s / 2

    def _put(self, session: Session, group: Group) -> None:
        self._group_of[session] = group
        group.add(session)
