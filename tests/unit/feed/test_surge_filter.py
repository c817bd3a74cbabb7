"""What a newer ticker of the same read replaces never reaches the parser; everything else does, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hiredis
import pytest

from gateway.feed import surge_filter
from gateway.feed.surge_filter import PIECES_MIN, SurgeFilter

if TYPE_CHECKING:
    from collections.abc import Iterable

FULL_MIN_BYTES = 20

Message = tuple[bytes, bytes]


def ticker(symbol: str, number: int, size: int = 30) -> Message:
    return f"ticker:{symbol}".encode(), f'{{"c":"{number}"}}'.encode().ljust(size, b" ")


def kline(number: int) -> Message:
    return b"klines:A:1m", f'{{"k":{number}}}'.encode().ljust(40, b" ")


def encoded(messages: Iterable[Message], *, sharded: bool = False) -> bytes:
    parts = ([b"smessage", *one] if sharded else [b"pmessage", b"*", *one] for one in messages)
    return b"".join(hiredis.pack_command(tuple(part)) for part in parts)  # type: ignore[arg-type]


def decoded(data: bytes) -> list[Message]:
    reader = hiredis.Reader()
    reader.feed(data)
    found = []
    while (message := reader.gets()) is not False:
        found.append((message[-2], message[-1]))
    return found


@pytest.fixture
def surge() -> SurgeFilter:
    return SurgeFilter(2, lambda channel: channel.startswith(b"ticker:"), FULL_MIN_BYTES)


def many(symbol: str = "A") -> list[Message]:
    """The first and the last of a read always pass; so many lie between."""
    return [ticker(symbol, number) for number in range(PIECES_MIN)]


def test_only_the_newest_ticker_of_each_channel_is_parsed(surge: SurgeFilter) -> None:
    read = [*many("A"), *many("B"), kline(1)]
    assert decoded(surge.reduce(encoded(read))) == [ticker("A", PIECES_MIN - 1), ticker("B", PIECES_MIN - 1), kline(1)]
    assert surge.dropped == 2 * PIECES_MIN - 2


def test_klines_pass_and_stay_where_they_are_between_the_tickers(surge: SurgeFilter) -> None:
    read = [kline(0), *many(), kline(1), kline(2), ticker("A", 98), ticker("A", 99)]
    assert decoded(surge.reduce(encoded(read))) == [kline(0), kline(1), kline(2), ticker("A", 98), ticker("A", 99)]


def test_what_may_be_a_delta_passes(surge: SurgeFilter) -> None:
    delta = ticker("A", 1, size=FULL_MIN_BYTES - 1)
    read = [*many(), delta, *many(), kline(1)]
    assert decoded(surge.reduce(encoded(read))) == [delta, ticker("A", PIECES_MIN - 1), kline(1)]


def test_payloads_of_other_lengths_belong_to_the_same_channel(surge: SurgeFilter) -> None:
    read = [ticker("A", number, 30 + number % 3) for number in range(20)]
    assert decoded(surge.reduce(encoded([*read, kline(1)]))) == [read[-1], kline(1)]
    assert decoded(surge.reduce(encoded([*read, kline(1)]))) == [read[-1], kline(1)]


def test_small_reads_are_left_alone(surge: SurgeFilter) -> None:
    data = encoded(many()[: PIECES_MIN - 2])
    assert surge.reduce(data) is data


@pytest.mark.parametrize("cut", [1, 10, 25, 40, 55])
def test_a_message_that_two_reads_bring_is_whole(surge: SurgeFilter, cut: int) -> None:
    data = encoded([*many("A"), *many("B")])
    split = len(encoded(many("A"))) - cut
    found = decoded(surge.reduce(data[:split]) + surge.reduce(data[split:]))
    assert found[-1] == ticker("B", PIECES_MIN - 1)
    assert found[0] == ticker("A", PIECES_MIN - 2)
    assert surge.dropped > 0


@pytest.mark.parametrize(
    "odd",
    [
        b"*2\r\n$4\r\npong\r\n$0\r\n\r\n",
        encoded([(b"ticker:A", encoded(many()))]),
        b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$9\r\nticker:A\r\n$2\r\n{}\r\n",
        b"*4\r\n$8\r\npmessage\r\nnonsense\r\n",
        b"*4\r\n$8\r\npmessage\r\n$3\r\n*\r\n$8\r\nticker:A\r\n$2\r\n{}\r\n",
    ],
    ids=["reply", "messages in a payload", "wrong length", "nonsense", "wrong length of the pattern"],
)
def test_a_read_with_anything_else_in_it_passes_as_it_is(surge: SurgeFilter, odd: bytes) -> None:
    data = encoded(many()) + odd + encoded(many())
    assert surge.reduce(data) is data
    assert surge.dropped == 0


def test_sharded_messages_have_no_pattern() -> None:
    surge = SurgeFilter(1, lambda channel: channel.startswith(b"ticker:"), FULL_MIN_BYTES)
    read = encoded([*many(), kline(1)], sharded=True)
    assert decoded(surge.reduce(read)) == [ticker("A", PIECES_MIN - 1), kline(1)]


def test_what_is_known_of_channels_is_bounded(surge: SurgeFilter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surge_filter, "KEYS_MAX", 3)
    for number in range(20):
        read = [*many(f"S{number}"), kline(1)]
        assert decoded(surge.reduce(encoded(read)))[-2] == ticker(f"S{number}", PIECES_MIN - 1)
    assert len(surge._tickers) <= 4
