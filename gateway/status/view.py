"""What a process tells of itself at a glance: reads its parts, changes none of them.

A reading is taken once a second and costs microseconds; the whole is put together at most once a second, and only
when somebody looks.
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
from gateway.session.close_codes import Close
from gateway.session.throttle import rungs
from gateway.status.freshness import Freshness
from gateway.status.record import Reading, Record
from gateway.status.verdict import Facts, judge
from gateway.vitals import FLUSH_LATE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Config
    from gateway.ops.counters import Counters
    from gateway.session.session import Session
    from gateway.vitals import Vitals

PERIOD_S = 1.0

SLOWEST = 10
"""Clients that are named."""

LOOKED_AT = 1000
"""Clients among which the slowest are sought: when all are slow, any ten tell as much."""

OLDEST = 5
GAPS = 10

_CLOSES = {close.code: close.reason for close in Close}


class StatusView:
    def __init__(self, config: Config, vitals: Vitals, counters: Counters) -> None:
        self.record = Record()
        self.freshness = Freshness(vitals.market, round(config.market.symbol_stale_after_s * 1000))
        self.vitals = vitals
        self._counters = counters
        self._tick_ms = config.stream.tick_ms
        # Who may see this where nothing is configured is everybody: where clients come from is not for them.
        self._tell_addresses = bool(config.operations.token or config.operations.address)
        self._started_ms = vitals.clock()
        self._body = b""
        self._told_s = -PERIOD_S

    async def run(self) -> None:
        """A reading a second until cancelled."""
        while True:
            self.record.take(self._reading())
            await asyncio.sleep(PERIOD_S)

    def body(self) -> bytes:
        """Everything, as JSON. Of one second all that ask get the same."""
        now_s = time.monotonic()
        # A little less than the second in which they ask again.
        if now_s - self._told_s > PERIOD_S * 0.9:
            self._told_s = now_s
            self._body = orjson.dumps(self.told(), option=orjson.OPT_NON_STR_KEYS)
        return self._body

    def told(self) -> dict[str, Any]:
        vitals, hub = self.vitals, self.vitals.hub
        now_ms, state, gaps, load = vitals.clock(), hub.state, vitals.watch.gaps, vitals.pump.load.level.name.lower()
        feed, sources, feed_age_ms = vitals.feed, vitals.sources.health(), self._feed_age_ms()
        ages, quiet = self.freshness.ages(now_ms), self.freshness.quiet(now_ms)
        slowed = sum(len(tier.sessions()) for tier in hub.tiers[1:])
        flush_age_s = time.monotonic() - vitals.pump.flushed_s
        verdict = judge(
            Facts(
                stale=state.reason,
                stale_s=(now_ms - state.since_ms) / 1000 if state.since_ms else 0.0,
                heard=feed_age_ms is not None,
                away=tuple(name for name, health in sources.items() if not health["linked"]),
                feed_problem=feed.problem,
                flush_late_s=flush_age_s if flush_age_s > FLUSH_LATE_S else 0.0,
                load=load,
                clients=len(hub.sessions),
                slowed=sum(bool(rungs(session)) for session in islice(self._late(), LOOKED_AT)),
                symbols=len(ages),
                quiet=quiet,
                gaps=gaps.open,
                history=vitals.store.available,
                other_reasons=tuple(vitals.not_ready()),
            )
        )
        return {
            "timestamp": now_ms,
            "level": verdict.level,
            "headline": verdict.headline,
            "why": verdict.why,
            "process": {"version": __version__, "pid": os.getpid(), "started": self._started_ms},
            "feed": {
                "mode": feed.mode,
                **self.state(),
                "age_ms": feed_age_ms,
                "reconnects": sum(feed.reconnects for feed in vitals.feeds.values()),
                "history": vitals.store.available,
                "sources": sources,
            },
            "symbols": {
                "known": len(ages),
                "quiet": quiet,
                "quiet_after_ms": self.freshness.quiet_after_ms,
                "oldest": [
                    {"symbol": age.symbol, "age_ms": max(0, now_ms - age.event_ms) if age.event_ms else None}
                    for age in ages[:OLDEST]
                ],
            },
            "load": {"level": load, "surging": vitals.ingest.surging},
            "clients": {
                "now": len(hub.sessions),
                "slowed": slowed,
                "tiers": [
                    {
                        "interval_ms": tier.period_ticks * self._tick_ms,
                        "clients": len(tier.sessions()),
                        "behind": len(tier.behind),
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
            "disconnects": [
                {"code": code, "reason": _CLOSES.get(code, ""), "count": count}
                for code, count in self._counters.disconnects.most_common()
            ],
            "events": [event.told() for event in reversed(self.record.events)],
            "samples": {name: list(values) for name, values in self.record.samples.items()},
        }

    def state(self) -> dict[str, Any]:
        """Whether what is served is live, else why and since when it is not."""
        state = self.vitals.hub.state
        return {"live": state.live, "reason": state.reason, "since": state.since_ms or None}

    def _reading(self) -> Reading:
        counters, vitals = self._counters, self.vitals
        return Reading(
            at_s=time.monotonic(),
            at_ms=vitals.clock(),
            messages=counters.messages_in,
            writes=counters.writes,
            sent_bytes=counters.bytes_out,
            flush_s=counters.flush.total_s,
            flushes=sum(counters.flush.counts),
            lag_s=counters.lag.total_s,
            clients=len(vitals.hub.sessions),
            behind=sum(len(tier.behind) for tier in vitals.hub.tiers),
            feed_age_ms=self._feed_age_ms(),
            stale=vitals.hub.state.reason,
            stale_since_ms=vitals.hub.state.since_ms,
            load=vitals.pump.load.level.name.lower(),
            disconnects={f"{code} {_CLOSES.get(code, '')}": n for code, n in counters.disconnects.items()},
            refusals=dict(counters.refusals),
            feed_errors=dict(counters.feed_errors),
            gaps=sum(vitals.watch.gaps.found.values()),
        )

    def _feed_age_ms(self) -> int | None:
        heard_s = self.vitals.ingest.heard_s
        return round((time.monotonic() - heard_s) * 1000) if heard_s else None

    def _late(self) -> Iterator[Session]:
        """Who does not keep up, those in the slowest tiers first."""
        for tier in reversed(self.vitals.hub.tiers):
            for session in tier.sessions() if tier.period_ticks > 1 else tier.behind:
                if rungs(session) or session.stalled_since_s is not None:
                    yield session

    def _slowest(self) -> list[dict[str, Any]]:
        now_s = time.monotonic()

        def slowness(session: Session) -> tuple[float, int]:
            return now_s - (session.stalled_since_s or now_s), rungs(session)

        return [
            {
                "id": session.sink.id,
                **({"address": session.sink.peer} if self._tell_addresses else {}),
                "dialect": session.style[0].name,
                "interval_ms": self.vitals.hub.tiers[session.tier].period_ticks * self._tick_ms,
                "slower_by": rungs(session),
                "stalled_ms": round(slowness(session)[0] * 1000),
                "unsent_bytes": session.sink.unsent_bytes(),
                "channels": len(session.watchlist.ns),
            }
            for session in nlargest(SLOWEST, islice(self._late(), LOOKED_AT), key=slowness)
        ]
