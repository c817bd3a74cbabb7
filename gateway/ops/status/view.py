"""The status of one process as `/status.json` shows it. Reads the other parts, changes none.

A reading is taken once a second and costs microseconds; the JSON is built at most once a second, and only when it is
requested.
"""

from __future__ import annotations

import asyncio
import os
import time
from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from gateway import __version__
from gateway.delivery.close_codes import Close
from gateway.delivery.throttle import DEFAULT, FAST
from gateway.ops.collector import TIER_NAMES
from gateway.ops.health import FLUSH_LATE_S
from gateway.ops.status.freshness import Freshness
from gateway.ops.status.record import Reading, Record
from gateway.ops.status.verdict import Facts, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Config
    from gateway.delivery.load_level import Load
    from gateway.delivery.session import Session
    from gateway.ops.counters import Counters
    from gateway.ops.health import Health

PERIOD_S = 1.0

SLOWEST = 10
"""Slow clients that are listed."""

EXAMINED_MAX = 1000
"""Clients among which the slowest are searched: when all are slow, any ten are as good."""

OLDEST = 5
GAPS = 10

_CLOSES = {close.code: close.reason for close in Close}


class StatusView:
    """Takes readings and builds the status of this process."""

    def __init__(self, config: Config, health: Health, counters: Counters) -> None:
        self.record = Record()
        self.freshness = Freshness(health.market, round(config.market.symbol_stale_after_s * 1000))
        self.health = health
        self._counters = counters
        # Without a token or an address of its own the status is public; addresses of clients must not be.
        self._shows_addresses = bool(config.operations.token or config.operations.address)
        self._started_ms = health.clock()
        self._body = b""
        self._built_s = -PERIOD_S

    async def run(self) -> None:
        """Take a reading a second until cancelled."""
        while True:
            self.record.take(self._reading())
            self.health.refused.observe()
            await asyncio.sleep(PERIOD_S)

    def body(self) -> bytes:
        """The status as JSON. All requests within one second get the same bytes."""
        now_s = time.monotonic()
        # A little less than the second after which the page asks again.
        if now_s - self._built_s > PERIOD_S * 0.9:
            self._built_s = now_s
            self._body = orjson.dumps(self.to_dict(), option=orjson.OPT_NON_STR_KEYS)
        return self._body

    def to_dict(self) -> dict[str, Any]:
        """The status, with the keys of `/status.json`."""
        health, hub = self.health, self.health.hub
        now_ms, state, gaps = health.clock(), health.ingest.feed_state.current, health.watch.tracker
        load = health.flusher.load
        level = load.level.name.lower()
        feed, sources, feed_age_ms = health.feed, health.sources.health(), self._feed_age_ms()
        ages, stale_symbols = self.freshness.ages(now_ms), self.freshness.count_stale(now_ms)
        flush_age_s = time.monotonic() - health.flusher.flushed_s
        verdict = judge(
            Facts(
                stale_reason=state.reason,
                stale_s=(now_ms - state.since_ms) / 1000 if state.since_ms else 0.0,
                has_received=feed_age_ms is not None,
                refused=health.ingest.refusals.text(state.reason),
                disconnected_sources=tuple(name for name, source in sources.items() if not source["linked"]),
                feed_problem=feed.problem,
                only_refused=health.only_refused(),
                flush_late_s=flush_age_s if flush_age_s > FLUSH_LATE_S else 0.0,
                load=level,
                load_because=load.because,
                load_effects=tuple(load.effects),
                clients=len(hub.sessions),
                slowed=sum(bool(session.pace.tiers_slowed) for session in islice(self._slow_sessions(), EXAMINED_MAX)),
                symbols=len(ages),
                stale_symbols=stale_symbols,
                gaps=gaps.open,
                history_available=health.store.available,
                archive_behind_s=0.0 if health.archiving is None else health.archiving.behind_s,
                other_reasons=(*health.not_ready_reasons(), *health.stale_reasons()),
            )
        )
        return {
            "timestamp": now_ms,
            "level": verdict.level,
            "headline": verdict.headline,
            "why": verdict.reasons,
            "process": {"version": __version__, "pid": os.getpid(), "started": self._started_ms},
            "feed": {
                "mode": feed.mode,
                **self.state(),
                "age_ms": feed_age_ms,
                "reconnects": sum(feed.reconnects for feed in health.feeds.values()),
                "history": health.store.available,
                "errors": dict(self._counters.feed_errors),
                "odd": dict(self._counters.feed_odd),
                "ahead_s": health.ingest.plausibility.ahead_s,
                "sources": sources,
                "refused_names": health.refused.to_dict(),
            },
            "symbols": {
                "known": len(ages),
                "quiet": stale_symbols,
                "quiet_after_ms": self.freshness.stale_after_ms,
                "oldest": [
                    {"symbol": age.symbol, "age_ms": max(0, now_ms - age.event_ms) if age.event_ms else None}
                    for age in ages[:OLDEST]
                ],
            },
            "load": {
                "level": level,
                "because": load.because,
                "effects": load.effects,
                "shares": {cause: round(share, 3) for cause, share in load.shares.items()},
                "surging": health.ingest.surging,
            },
            "clients": {
                "now": len(hub.sessions),
                "slowed": health.sessions_slowed(),
                "flush_interval_ms": round(health.flusher.schedule.interval_s * 1000, 1),
                "fast": {"wanted": len(hub.fast), "served": len(hub.tiers[FAST].sessions())},
                "tiers": [
                    {
                        "name": TIER_NAMES[tier.number],
                        "interval_ms": health.flusher.interval_ms(tier.number),
                        "clients": len(tier.sessions()),
                        "behind": tier.behind(),
                    }
                    for tier in hub.tiers
                ],
                "slowest": self._slowest(),
            },
            "gaps": {
                "open": gaps.open,
                "last": [
                    {
                        "symbol": gap.series.symbol,
                        "interval": gap.series.interval.name,
                        "from": gap.from_ms,
                        "to": gap.to_ms,
                        "since": gap.since_ms,
                        "state": gap.state.value,
                    }
                    for gap in gaps.latest(GAPS)
                ],
            },
            "archive": None if health.archiving is None else health.archiving.to_dict(),
            "replays": health.replays.to_dict(),
            "disconnects": [
                {"code": code, "reason": _CLOSES.get(code, ""), "count": count}
                for code, count in self._counters.disconnects.most_common()
            ],
            "events": [event.to_dict() for event in reversed(self.record.events)],
            "samples": {name: list(values) for name, values in self.record.samples.items()},
        }

    def state(self) -> dict[str, Any]:
        """Whether the feed is live, else why and since when it is not; for each lane, and what is refused instead."""
        state = self.health.ingest.feed_state.current
        refused = self.health.ingest.refusals.text(state.reason)
        worst = {"live": state.live, "reason": state.reason, "since": state.since_ms or None}
        return {**worst, "refused": refused, "lanes": self.health.lanes()}

    def _reading(self) -> Reading:
        counters, health = self._counters, self.health
        return Reading(
            at_s=time.monotonic(),
            at_ms=health.clock(),
            messages=counters.messages_in,
            writes=counters.writes,
            sent_bytes=counters.bytes_out,
            flush_s=counters.flush.total_s,
            flushes=sum(counters.flush.counts),
            lag_s=counters.lag.total_s,
            clients=len(health.hub.sessions),
            behind=sum(tier.behind() for tier in health.hub.tiers),
            feed_age_ms=self._feed_age_ms(),
            stale_reason=health.ingest.feed_state.current.reason,
            stale_since_ms=health.ingest.feed_state.current.since_ms,
            load=_level_because(health.flusher.load),
            disconnects={f"{code} {_CLOSES.get(code, '')}": n for code, n in counters.disconnects.items()},
            refusals=dict(counters.refusals),
            feed_errors=dict(counters.feed_errors),
            gaps=sum(health.watch.tracker.found.values()),
        )

    def _feed_age_ms(self) -> int | None:
        last_message_s = self.health.ingest.feed_state.last_message_s
        return round((time.monotonic() - last_message_s) * 1000) if last_message_s else None

    def _slow_sessions(self) -> Iterator[Session]:
        """Sessions that do not keep up, those in the slowest tiers first."""
        for tier in reversed(self.health.hub.tiers):
            for session in tier.sessions() if tier.number > DEFAULT else tier.catching_up():
                if session.pace.tiers_slowed or session.pace.stalled_since_s is not None:
                    yield session

    def _slowest(self) -> list[dict[str, Any]]:
        now_s = time.monotonic()

        def slowness(session: Session) -> tuple[float, int]:
            return now_s - (session.pace.stalled_since_s or now_s), session.pace.tiers_slowed

        return [
            {
                "id": session.sink.id,
                **({"address": session.sink.peer} if self._shows_addresses else {}),
                "dialect": session.style[0].name,
                "interval_ms": self.health.flusher.interval_ms(session.pace.tier),
                "slower_by": session.pace.tiers_slowed,
                "stalled_ms": round(slowness(session)[0] * 1000),
                "unsent_bytes": session.sink.unsent_bytes(),
                "channels": len(session.subscription_set.ns),
            }
            for session in nlargest(SLOWEST, islice(self._slow_sessions(), EXAMINED_MAX), key=slowness)
        ]


def _level_because(load: Load) -> str:
    level = load.level.name.lower()
    return f"{level} because {load.because}" if load.because else level
