"""Whatever payloads hold and however reads are split: a surge drops only full tickers that a newer one replaces."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import hiredis
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.feed.surge_filter import MESSAGE_STARTS, PIECES_MIN, SurgeFilter
from gateway.redis.subscription import Subscription
from loadtest.protocol.resp import encode
from tests.examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL_MIN_BYTES = 4
PING_ANSWER = encode("pong", "")
KINDS = {"p": 2, "s": 1}
"""Kind of subscription -> index of the channel in its messages."""


def message(kind: str, channel: bytes, payload: bytes) -> bytes:
    return encode("pmessage", "*", channel, payload) if kind == "p" else encode("smessage", channel, payload)


class Receiver:
    """In a surge from the first to the last read, but for some."""

    def __init__(self, kind: str, calm: frozenset[int]) -> None:
        self.filter = SurgeFilter(KINDS[kind], is_ticker, FULL_MIN_BYTES)
        self.received_bytes = 0
        self.charge: AbstractContextManager[None] = nullcontext()
        self.messages: list[list[bytes]] = []
        self.reads = 0
        self._calm = calm

    @property
    def surging(self) -> bool:
        return self.reads not in self._calm

    def reduce(self, data: bytes) -> bytes:
        return self.filter.reduce(data)

    def take(self, messages: list[list[bytes]]) -> None:
        self.messages += messages


def is_ticker(channel: bytes) -> bool:
    return channel.startswith(b"t")


def parsed(data: bytes) -> list[list[bytes]]:
    """What the plain parser makes of it."""
    reader = hiredis.Reader()
    reader.feed(data)
    found = []
    while (one := reader.gets()) is not False:
        found.append(one)
    return [one for one in found if one[0].endswith(b"message")]


def received(kind: str, data: bytes, cuts: Sequence[int], calm: frozenset[int]) -> Receiver:
    """What a subscription in a surge passes on, which gets the bytes in reads that end at `cuts`."""

    async def run() -> Receiver:
        receiver = Receiver(kind, calm)
        subscription = Subscription(kind, receiver, lambda: None)
        ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
        for begin, end in zip([0, *ends], ends, strict=False):
            subscription._take(data[begin:end])
            receiver.reads += 1
        assert not subscription._ended.done(), subscription._ended
        return receiver

    return asyncio.run(run())


def nested(kind: str) -> st.SearchStrategy[bytes]:
    """Payloads with whole messages, parts of them, and what looks like their start."""
    start = MESSAGE_STARTS[KINDS[kind]]
    texts = [b"", start, start[:5], b"\r\n", b"$1\r\n*\r\n", b"{}      "]
    plain = st.one_of(st.binary(max_size=12), st.sampled_from(texts))
    inner = st.builds(lambda channel, payload: message(kind, channel, payload), st.sampled_from([b"ta", b"k"]), plain)
    several = st.builds(lambda one, count: one * count, inner, st.integers(1, 2 * PIECES_MIN))
    # Without its end, the line break of the enclosing message completes the last one.
    return st.one_of(plain, several, several.map(lambda text: text[:-2]), st.tuples(plain, several).map(b"".join))


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, bytes]:
    kind = draw(st.sampled_from(sorted(KINDS)))
    channel = st.sampled_from([b"ta", b"tb", b"k", b"t\r\n$1"])
    one = st.builds(lambda name, payload: message(kind, name, payload), channel, nested(kind))
    many = st.builds(lambda each, count: each * count, one, st.integers(1, 2 * PIECES_MIN))
    return kind, b"".join(draw(st.lists(st.one_of(one, many, st.just(PING_ANSWER)), min_size=1, max_size=8)))


def enclosing(kind: str = "p") -> bytes:
    """One message that holds whole ones, the last of them completed by its own line break."""
    return message(kind, b"k", (message(kind, b"ta", b"12345678") * 2 * PIECES_MIN)[:-2])


@given(streams(), st.lists(st.integers(0, 4000), max_size=6), st.frozensets(st.integers(0, 6), max_size=3))
@example(("p", enclosing()), [40], frozenset())
@example(("s", enclosing("s")), [40], frozenset())
@example(("p", enclosing()), [45], frozenset([0]))
@settings(max_examples=2 * EXAMPLES)
def test_only_tickers_that_a_newer_one_replaces_are_dropped(
    stream: tuple[str, bytes], cuts: list[int], calm: frozenset[int]
) -> None:
    kind, data = stream
    receiver = received(kind, data, cuts, calm)
    newer: set[bytes] = set()
    # From the end: of equal messages the last ones pass.
    left = receiver.messages[::-1]
    for one in reversed(parsed(data)):
        if left and one == left[0]:
            newer.add(left.pop(0)[-2])
        else:
            assert is_ticker(one[-2])
            assert len(one[-1]) >= FULL_MIN_BYTES
            assert one[-2] in newer
    assert not left, "a message that nobody sent"
    assert receiver.filter.dropped == len(parsed(data)) - len(receiver.messages)


def test_a_read_of_tickers_is_reduced_wherever_the_reads_before_it_ended() -> None:
    data = message("p", b"ta", b"12345678") * 100
    for cut in range(1, 60):
        assert received("p", data, [cut], frozenset()).filter.dropped >= 90
