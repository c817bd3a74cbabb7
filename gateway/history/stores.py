"""Every place that klines are read from: the Redis of each source, all of them as one, and the archive behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.archive.open import open_archive
from gateway.history.archived_store import ArchivedStore
from gateway.history.combined_store import CombinedStore
from gateway.history.probe import StoreProbe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config import ArchiveConfig, RedisConfig
    from gateway.history.redis_store import RedisStore
    from gateway.history.store import KlineStore

ARCHIVE_LIMIT = 5000
"""Most klines of one answer where there is an archive."""


class Stores:
    """Made once in a process."""

    def __init__(
        self,
        by_source: Mapping[str, RedisStore],
        redis_by_source: Mapping[str, RedisConfig],
        healthy: Callable[[], Sequence[str]],
        archive: ArchiveConfig,
    ) -> None:
        """`healthy`: names of the sources to read, at least one."""
        self.by_source = by_source
        self.probes = [
            StoreProbe(by_source[name].ping, redis.retry_s, watchdog_s=redis.watchdog_s)
            for name, redis in redis_by_source.items()
        ]
        self.redis = CombinedStore(by_source, healthy)
        """What the collectors have stored."""
        self.archive = open_archive(archive)
        self.all: KlineStore = ArchivedStore(self.redis, self.archive) if self.archive else self.redis
        """The same with the archive behind it, where there is one."""
        self.certain = ArchivedStore(self.redis, self.archive, certain=True) if self.archive else None
        """For readers who need to know that nothing is missing; closed with `all`."""

    def limit(self, history_max: int) -> int:
        """Most klines of one answer; without an archive as many as the collector keeps, `history_max`."""
        return max(history_max, ARCHIVE_LIMIT) if self.archive else history_max
