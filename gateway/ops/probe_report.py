"""What `gateway check-config --probe` has found at one source: the verdict, and the lines that are printed.

`probe.py` looks; this does no I/O.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.feed.formats.detect import looks_like
from gateway.feed.keyspace import EVENTS, sends_needed_events
from gateway.redis.name_refusals import INTERVAL, SYMBOL, NameRefusals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

SHOWN = 8
"""Symbols that are named."""

PAYLOAD_CHARS = 60

AHEAD_MS = 60_000
"""How far times may be ahead of this machine's clock before that is said."""

_REFUSED = {SYMBOL: "market.symbol_pattern does not admit it", INTERVAL: "not in market.intervals or market.stored"}


class Payloads:
    """Decoded payloads of one kind: how many, and why some cannot be used."""

    def __init__(self) -> None:
        self.count = 0
        self.refused: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        """The first refused payload of each reason, shortened."""
        self.looks: Counter[str] = Counter()
        """The formats that refused payloads look like."""

    def take(self, reason: str, name: str, payload: bytes) -> None:
        """Count a payload; `reason` is "" where it can be used."""
        self.count += 1
        if reason:
            self.refused[reason] += 1
            self.looks[looks_like(payload)] += 1
            self.examples.setdefault(reason, f"{name} {shortened(payload)}")


@dataclass
class Findings:
    """What was found at one source. Times are ms since the epoch."""

    source: str
    place: str
    failures: list[str] = field(default_factory=list)
    """What could not be done: no connection, no permission."""
    scanned_all: bool = True
    keys: int = 0
    symbols: set[str] = field(default_factory=set)
    intervals: set[str] = field(default_factory=set)
    stored: Payloads = field(default_factory=Payloads)
    messages: Payloads = field(default_factory=Payloads)
    refusals: NameRefusals = field(default_factory=NameRefusals)
    newest_ticker: tuple[int, str] = (0, "")
    newest_closed: dict[str, int] = field(default_factory=dict)
    """Close time of the newest stored kline, by interval."""
    units: dict[str, str] = field(default_factory=dict)
    """Kind of time -> its unit, where that is not ms: `lastUpdate`, `lastClosed`, `scores`."""
    listened_s: float = 0.0
    keys_change: bool = False
    setting: str | None = None
    """`notify-keyspace-events`; `None` where the server does not say."""
    format: str = "binance"
    """How payloads are written, by the settings."""
    advice: str = ""
    """What to set, where nothing has a name of the settings and something looks like market data."""


def feed_mode(found: Findings, configured: str, *, is_cluster: bool, may_enable: bool) -> str:
    """The feed mode that the gateway would use."""
    if configured != "auto":
        return configured
    if is_cluster or found.messages.count or not found.keys_change:
        return "pubsub"
    notified = found.setting is None or sends_needed_events(found.setting) or may_enable
    return "keyspace" if notified else "poll"


def problems(found: Findings, mode: str, *, may_enable: bool) -> Iterator[str]:
    """Why the gateway would not serve live data from this source; nothing where it would."""
    yield from found.failures
    if found.failures:
        return
    names = [*found.refusals.examples(SYMBOL), *found.refusals.examples(INTERVAL)]
    if not found.symbols:
        if names:
            yield f"nothing to serve: all that looks like market data is refused by its name, for example {names[0]}"
        else:
            names_of = "redis.prefix, redis.*_key, redis.*_stream"
            yield f"nothing to serve: no key and no message has a name of the contract ({names_of})"
        if found.advice:
            yield found.advice
        return
    for payloads, kind in ((found.messages, "message"), (found.stored, "stored value")):
        if payloads.count and payloads.refused.total() == payloads.count:
            yield f"no {kind} can be used: {_reasons(payloads)}"
        looks = max(payloads.looks, key=payloads.looks.__getitem__, default="")
        if looks and looks != found.format:
            yield f'{kind}s that are refused look like {looks}: set feed.format = "{looks}"'
    if "scores" in found.units:
        yield f"scores of klines are {found.units['scores']}, not ms: history by time cannot be read"
    if mode == "keyspace" and found.setting is not None and not sends_needed_events(found.setting) and not may_enable:
        yield f"notify-keyspace-events is {found.setting!r}: run CONFIG SET notify-keyspace-events {EVENTS}"
    if mode == "pubsub" and not found.messages.count and found.keys_change:
        yield "keys change, but nothing is published: set feed.mode to auto, keyspace or poll"
    if not found.messages.count and not found.keys_change:
        yield f"nothing has changed in {found.listened_s:g} s: the collector is not running, or writes elsewhere"


def report(found: Findings, mode: str, mistakes: Collection[str], now_ms: int) -> str:
    """The findings as lines of text."""
    lines = [f"source {found.source} at {found.place}"]
    if not found.failures or found.symbols:
        lines += [f"  {name:<15}{text}" for name, text in _rows(found, mode, now_ms)]
    lines += [f"  {'problem':<15}{mistake}" for mistake in mistakes]
    return "\n".join(lines)


def shortened(payload: bytes) -> str:
    """The beginning of a payload, printable."""
    text = payload[:PAYLOAD_CHARS].decode("utf-8", "backslashreplace")
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return shown if len(payload) <= PAYLOAD_CHARS else shown + "…"


def _rows(found: Findings, mode: str, now_ms: int) -> Iterator[tuple[str, str]]:
    names = sorted(found.symbols)
    more = ", …" if len(names) > SHOWN else ""
    yield "serves", f"{len(names):,} symbols: {', '.join(names[:SHOWN])}{more}" if names else "no symbol"
    yield "intervals", " ".join(sorted(found.intervals)) or "none is stored or sent"
    yield "keys", f"{found.keys:,} scanned{'' if found.scanned_all else ', not all: the scan was ended early'}"
    newest_ms, symbol = found.newest_ticker
    if newest_ms:
        yield "newest ticker", f"{_age(newest_ms, now_ms)} ({symbol})"
    if found.newest_closed:
        ages = (f"{interval} {_age(time_ms, now_ms)}" for interval, time_ms in sorted(found.newest_closed.items()))
        yield "newest closed", "; ".join(ages)
    yield "feed mode", f"{mode}; {found.messages.count:,} messages in {found.listened_s:g} s{_changes(found)}"
    if found.setting is not None:
        yield "notifications", f"notify-keyspace-events is {found.setting!r}"
    refusals = found.refusals
    for reason, text in _REFUSED.items():
        if examples := refusals.examples(reason):
            counts = f"keys: {refusals.keys.get(reason, 0):,}, messages: {refusals.messages[reason]:,}"
            yield "refuses", f"{reason} ({text}); {counts}; for example {', '.join(examples)}"
    for payloads, kind in ((found.messages, "messages"), (found.stored, "stored values")):
        if payloads.refused:
            yield "refuses", f"{payloads.refused.total():,} of {payloads.count:,} {kind}: {_reasons(payloads)}"
    for kind, unit in found.units.items():
        yield "times", f"{kind} in {unit}, where ms are expected"
    for clause, name in refusals.unnameable.items():
        yield "note", f"{name} cannot be named in {clause}"


def _changes(found: Findings) -> str:
    if found.messages.count:
        return ""
    return ", while keys change" if found.keys_change else ", and no key changes"


def _reasons(payloads: Payloads) -> str:
    return "; ".join(_reason(payloads, reason, count) for reason, count in payloads.refused.most_common())


def _reason(payloads: Payloads, reason: str, count: int) -> str:
    return f"{reason} ({count:,}), for example {payloads.examples[reason]}"


def _age(time_ms: int, now_ms: int) -> str:
    ahead = time_ms - now_ms > AHEAD_MS
    return f"{_span(abs(now_ms - time_ms))} {'ahead of the clock here' if ahead else 'ago'}"


def _span(ms: float) -> str:
    units: Iterable[tuple[str, float]] = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000))
    return next((f"{ms / size:.1f} {name}" for name, size in units if ms >= size), f"{ms / 1000:.1f} s")


def unit_of(text: bytes) -> str:
    """The unit of a time as the collector writes it: "" for ms."""
    whole, point, _ = text.partition(b".")
    if not whole.isdigit():
        return "text"
    units = {10: "seconds", 11: "seconds", 13: "", 14: "", 16: "microseconds", 17: "microseconds"}
    unit = units.get(len(whole), "nanoseconds" if len(whole) in (19, 20) else "no unit that can be told")
    return unit or ("ms with a fraction" if point else "")
