"""Streams that are subscribed and yet silent."""

from __future__ import annotations

from collector.binance.silence import EVIDENCE, Silence

NAMES = ["abusdt@kline_1m", "abusdt@kline_1h", "abusdt@ticker"]


def carrying(*names: str) -> Silence:
    silence = Silence()
    silence.carry(names)
    return silence


def test_a_stream_that_is_heard_now_and_then_is_not_deaf() -> None:
    silence = carrying(*NAMES)
    for _ in range(EVIDENCE):
        silence.heard("ABUSDT", "1m")
        silence.heard("ABUSDT", "1h")
        silence.heard("ABUSDT", "")
    assert silence.deaf() == []


def test_streams_that_say_nothing_while_the_symbol_trades_are_deaf_and_told_once() -> None:
    silence = carrying(*NAMES)
    for _ in range(EVIDENCE):
        silence.heard("ABUSDT", "1m")
    assert silence.deaf() == ["abusdt@kline_1h", "abusdt@ticker"]
    assert silence.deaf() == []


def test_tickers_are_no_evidence_because_they_change_without_trades() -> None:
    silence = carrying(*NAMES)
    for _ in range(2 * EVIDENCE):
        silence.heard("ABUSDT", "")
    assert silence.deaf() == []


def test_other_symbols_are_no_evidence() -> None:
    silence = carrying("abusdt@kline_1m", "cdusdt@kline_1m")
    for _ in range(2 * EVIDENCE):
        silence.heard("ABUSDT", "1m")
    assert silence.deaf() == []


def test_what_is_not_subscribed_is_not_missed() -> None:
    silence = carrying(*NAMES)
    silence.drop(["abusdt@kline_1h", "abusdt@ticker", "never@ticker"])
    for _ in range(2 * EVIDENCE):
        silence.heard("ABUSDT", "1m")
        silence.heard("ABUSDT", "5m")
        silence.heard("OTHER", "1m")
    assert silence.deaf() == []
    assert silence.carries
    silence.drop(["abusdt@kline_1m"])
    assert not silence.carries
