"""What a run does: reads a TOML file into one frozen, validated value. Unknown keys are refused.

Everything random in a run follows from its `seed`, so that all processes of the harness make the same choices.
"""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.model.interval import INTERVALS
from loadtest.attack.attacks import ATTACKS

SCENARIOS = Path(__file__).parent / "scenarios"

Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(ge=0)]

_GOLDEN = 0.6180339887498949


class ScenarioError(Exception):
    """The scenario is invalid; the message names the key."""


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of the file."""


class Feed(Part, frozen=True):
    """What is published, and how fast."""

    symbols: Annotated[int, Meta(ge=1, le=100_000)] = 300
    rate: Rate = 10.0
    """Ticker updates a second of each symbol."""
    beat_ms: Annotated[int, Meta(ge=1, le=1000)] = 5
    """Symbols are spread over groups; one group is published every so many ms."""
    kline_symbols: Count = 0
    intervals: tuple[str, ...] = ()
    forming_rate: Rate = 0.0
    """Forming updates a second of each kline series, in the feed's own time."""
    speed: Rate = 0.0
    """0: klines follow the wall clock. Else they follow a virtual one, so many times as fast, that ends in the past."""
    stored: Annotated[int, Meta(ge=0, le=500)] = 100
    """Closed klines stored per series before the gateway starts."""


class Clients(Part, frozen=True):
    """The stream clients: their number, their channels, and how well they read."""

    count: Count = 0
    steps: tuple[int, ...] = ()
    """Connect in these steps (totals) and note memory after each; the last one is all of them."""
    tickers: Count = 0
    watchlists: Count = 0
    """0: each client its own; else so many different ones, shared by equal parts."""
    one_each: bool = False
    """Instead of drawing, client i follows the i-th symbol, and the first ones again when there are more clients."""
    fast: Count = 0
    """The first so many clients decode everything, and ask for the fast lane where the gateway has one."""
    fast_tickers: Count = 0
    """Tickers that each of them follows."""
    klines: Count = 0
    """Symbols whose klines a client follows, in every interval of the feed."""
    history: Annotated[int, Meta(ge=0, le=500)] = 0
    decoded: Share = 0.03
    """Share of the clients that decode and check every message; the others count exactly."""
    slow: Share = 0.0
    slow_bytes_per_s: Annotated[int, Meta(ge=1)] = 2048
    stalled: Share = 0.0
    """Share of the clients that never read once they are subscribed."""
    dialect: Literal["native", "compact", "binance", "plain", "nats"] = "native"
    """`plain` and `nats` are not spoken by the gateway but by the servers of `compare`."""
    path: str = "/v1/stream"
    at_once: Annotated[int, Meta(ge=1)] = 200
    """Handshakes in flight while connecting."""
    reconnect: bool = False
    """A client that loses its connection comes back at once, with a resume cursor."""


class Http(Part, frozen=True):
    """HTTP requests beside the streams, one at a time on each connection."""

    connections: Count = 0
    rate: Rate = 0.0
    """Requests a second in all, on a fixed schedule; 0: as fast as the answers come, and a second after each 503."""
    requests: tuple[str, ...] = ()
    """Targets, taken in turn. `POST path body` posts. {symbol} is filled in."""


class Phase(Part, frozen=True):
    """A period of the run that is measured by itself."""

    name: str
    seconds: Annotated[float, Meta(gt=0)]
    factor: Rate = 1.0
    """Multiplies the ticker rate."""
    http: bool = True
    """Whether HTTP requests are sent, if there are any."""
    action: Literal["", "drop", "attack"] = ""
    """`drop`: all clients lose their connection as the phase begins and come back with a resume cursor. `attack`: the
    attackers are there as long as the phase lasts."""


class Expect(Part, frozen=True):
    """What must hold for the run to pass. Absent keys are not judged."""

    lost: Count | None = 0
    """Values that were not current after the feed had stopped and the pipes had drained."""
    out_of_order: Count | None = 0
    unknown: Count | None = 0
    """Updates of channels without a snapshot before them."""
    kline_faults: Count | None = 0
    lost_connections: Count | None = 0
    http_failures: Count | None = 0
    min_current: Count | None = None
    """Values that equal the last published ones; proves that something was checked."""
    min_klines_checked: Count | None = None
    min_delivered: Share | None = None
    """Delivered share of the offered updates, conflated ones counted as not delivered."""
    max_rss_mb: Rate | None = None
    max_rss_growth_mb: Rate | None = None
    """Growth of the gateway's memory from the first to the last phase."""
    max_p99_ms: Rate | None = None
    max_ticker_p99_ms: Rate | None = None
    max_recovery_s: Rate | None = None
    """From the beginning of the last phase until the gateway's load level is normal for good."""
    max_p99_ratio: Rate | None = None
    """Of the tickers' ages: those of the last phase over those of the first."""
    wrong_ends: Count | None = None
    """Attackers' connections that did not end as `attacks.py` expects, including those that never ended."""
    max_cpu_percent: Rate | None = None
    min_events_per_write: Rate | None = None
    """Writes of the gateway for each client and each of its flushes, over the whole run."""


class Scenario(Part, frozen=True, kw_only=True):
    """A whole run."""

    title: str
    seed: int = 1
    warm_up_s: Rate = 3.0
    drain_s: Rate = 2.0
    baseline: bool = True
    """Measure bare socket writes of the same sizes afterwards."""
    tls: bool = False
    """Clients connect by TLS, to a gateway with a throwaway certificate."""
    feed: Feed = Feed()
    rivals: Count = 0
    """Busy loops of equal priority on the gateway's core: with one it gets half of the core when it needs more."""
    clients: Clients = Clients()
    http: Http = Http()
    attackers: dict[str, Count] = {}
    """How many of each of the attacks of `attacks.py`."""
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)]
    gateway: dict[str, dict[str, Any]] = {}
    """Overrides of the gateway's settings, section by section."""
    expect: Expect = Expect()

    @property
    def symbols(self) -> list[str]:
        width = max(3, len(str(self.feed.symbols - 1)))
        return [f"S{index:0{width}d}USDT" for index in range(self.feed.symbols)]

    def watchlist(self, client: int) -> list[int]:
        """Indexes of the symbols whose tickers a client follows."""
        if self.clients.one_each:
            return [client % self.feed.symbols]
        lists = self.clients.watchlists
        draw = random.Random(self.seed * 1_000_003 + (client % lists if lists else client))
        tickers = self.clients.fast_tickers if self.is_fast(client) else self.clients.tickers
        return sorted(draw.sample(range(self.feed.symbols), tickers))

    def kline_list(self, client: int) -> list[int]:
        """Indexes of the symbols whose klines a client follows."""
        draw = random.Random(self.seed * 2_000_003 + client)
        return sorted(draw.sample(range(self.feed.kline_symbols), self.clients.klines))

    def kind(self, client: int) -> Literal["normal", "slow", "stalled"]:
        """How well a client reads. Kinds are spread evenly over the numbers, so each swarm process has its share."""
        position = (client + 0.5) * _GOLDEN % 1.0
        if position < self.clients.stalled:
            return "stalled"
        return "slow" if position < self.clients.stalled + self.clients.slow else "normal"

    def is_fast(self, client: int) -> bool:
        """Whether a client asks for the fast lane."""
        return client < self.clients.fast

    def decodes(self, client: int) -> bool:
        """Whether a client checks every message. Slow ones do: the guarantees matter most for them. So do fast ones."""
        kind = self.kind(client)
        if self.is_fast(client):
            return kind != "stalled"
        if kind != "normal":
            return kind == "slow"
        return int((client + 1) * self.clients.decoded) > int(client * self.clients.decoded)


def load(name: str, overrides: tuple[str, ...] = ()) -> Scenario:
    """A scenario by name or path, with `a.b=value` overrides (values in TOML notation, or plain text)."""
    path = Path(name) if name.endswith(".toml") else SCENARIOS / f"{name}.toml"
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{name}: cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: not valid TOML: {error}") from error
    for override in overrides:
        _override(data, override)
    try:
        scenario = msgspec.convert(data, Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{path.stem}: {error}") from error
    _check(path.stem, scenario)
    return scenario


def _override(data: dict[str, Any], override: str) -> None:
    keys, equals, text = override.partition("=")
    *tables, key = keys.strip().split(".")
    if not equals:
        raise ScenarioError(f"{override}: expected key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    for table in tables:
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise ScenarioError(f"{override}: {table} is not a table")
    data[key] = value


def _check(name: str, scenario: Scenario) -> None:
    """Check what types cannot express."""
    feed, clients = scenario.feed, scenario.clients
    for interval in feed.intervals:
        if interval not in INTERVALS or not INTERVALS[interval].length_ms:
            raise ScenarioError(f"{name}: feed.intervals: {interval!r} is not an interval of fixed length")
    for key, wanted, there in (
        ("clients.tickers", clients.tickers, feed.symbols),
        ("clients.klines", clients.klines, feed.kline_symbols),
        ("clients.fast_tickers", clients.fast_tickers, feed.symbols),
        ("feed.kline_symbols", feed.kline_symbols, feed.symbols),
    ):
        if wanted > there:
            raise ScenarioError(f"{name}: {key}: {wanted} of only {there} symbols")
    if clients.steps and (list(clients.steps) != sorted(clients.steps) or clients.steps[-1] != clients.count):
        raise ScenarioError(f"{name}: clients.steps: expected rising totals that end with clients.count")
    if clients.dialect == "compact" and clients.klines and clients.decoded < 1:
        raise ScenarioError(f"{name}: clients.decoded: compact klines can only be counted by decoding them all")
    if unknown := scenario.attackers.keys() - ATTACKS.keys():
        raise ScenarioError(f"{name}: attackers.{min(unknown)}: expected one of {' '.join(ATTACKS)}")
    if clients.dialect in ("binance", "plain", "nats") and clients.klines:
        raise ScenarioError(f"{name}: clients.klines: in the {clients.dialect} dialect only tickers are followed")
    if clients.one_each and clients.tickers != 1:
        raise ScenarioError(f"{name}: clients.one_each: goes with clients.tickers = 1")
    if clients.slow + clients.stalled > 1:
        raise ScenarioError(f"{name}: clients.slow and clients.stalled are shares of one whole")
