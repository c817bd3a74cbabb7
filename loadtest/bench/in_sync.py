"""What does it save to serve those in step from shared fragments, and what do lanes and a budget cost those behind?

300 tickers, all of which move at each beat; 500 clients with 100 of them each, every list different. Compared: whole
values taken channel by channel, the same cut by a budget that holds a tenth, the tier's differences joined for each
client, and joined once for all who share a list. Per operation: one client's beat.
"""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

from gateway.config import MarketConfig
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.staleness import FeedState
from gateway.delivery.throttle import DEFAULT
from gateway.market.market import Market
from gateway.model.ticker import TickerUpdate
from gateway.protocol.native import NativeDialect
from loadtest.bench.runner import Case

if TYPE_CHECKING:
    from gateway.delivery.group import Group
    from gateway.delivery.sink import Sink

_CLIENTS = 500
_SYMBOLS = [f"S{number:03d}USDT" for number in range(300)]
_AT_MS = 1_700_000_000_000


class Nowhere:
    """A socket that takes everything. Nothing is written in this benchmark: joining is what it is about."""

    closing = False
    last_message_s = 0.0
    received_bytes = 0
    peer = "nowhere"
    id = order = 0

    def offer(self, frames: bytes) -> bool:
        return True

    def ping(self) -> None: ...

    def busy(self) -> bool:
        return False

    def unsent_bytes(self) -> int:
        return 0

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abort(self) -> None: ...

    def abort_if_broken(self) -> None: ...

    def close(self, reason: object) -> None: ...

    def warn(self, retry_ms: int) -> None: ...

    def shutdown(self) -> None: ...


class _Rig:
    """A hub with its sessions, all of them behind; `beat` moves every ticker and begins a tick."""

    def __init__(self, *, shared: bool) -> None:
        self.dialect = NativeDialect()
        self.market = Market(MarketConfig(), 16, lazy=True)
        self.hub: Hub = Hub(self.market)
        self.hub.set_feed_state(FeedState())
        self._beats = 0
        self._move()
        draw = random.Random(1)
        sink: Sink = Nowhere()
        lists = [draw.sample(_SYMBOLS, 100) for _ in range(1 if shared else _CLIENTS)]
        self.sessions = []
        for number in range(_CLIENTS):
            session = Session(sink, (self.dialect, False))
            self.hub.add(session)
            self.hub.subscribe(session, map(self.hub.ticker_channel, lists[number % len(lists)]))
            self.sessions.append(session)

    def _move(self) -> None:
        self._beats += 1
        for number, symbol in enumerate(_SYMBOLS):
            last = f"{100 + number}.{self._beats % 10_000:04d}"
            update = TickerUpdate(
                symbol, _AT_MS + self._beats, {"last": last, "open": "90.5", "volume": f"{self._beats}.5"}
            )
            self.market.apply(update, _AT_MS)

    def beat(self) -> list[Group]:
        self._move()
        self.hub.publish(self.market.take_changes())
        groups = self.hub.tiers[DEFAULT].groups
        for group in groups:
            self.hub.begin(group)
        return groups


def _behind(budget_bytes: int) -> Case:
    rig = _Rig(shared=False)
    rig.beat()

    def work() -> None:
        for session in rig.sessions:
            session.take(rig.hub.published, budget_bytes, _AT_MS)

    return Case(work, _CLIENTS, rig.beat)


def _in_sync(*, shared: bool) -> Case:
    rig = _Rig(shared=shared)
    groups = rig.beat()
    for session in rig.sessions:
        session.take(rig.hub.published, sys.maxsize, _AT_MS)
        rig.hub.enter_sync(session)
    rig.beat()

    def work() -> None:
        for group in groups:
            for cohort in group.cohorts.values():
                body = b"".join(cohort.subscription_set.pick(group.fragment_tables[cohort.style]))
                rig.dialect.frame(body, _AT_MS, spare=False)

    return Case(work, _CLIENTS, rig.beat)


CASES = {
    "behind: whole values, by lanes": lambda: _behind(sys.maxsize),
    "behind: cut by a budget": lambda: _behind(1024),
    "in step: differences, own lists": lambda: _in_sync(shared=False),
    "in step: differences, one list": lambda: _in_sync(shared=True),
}
