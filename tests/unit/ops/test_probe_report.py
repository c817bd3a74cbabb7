"""What is said of one source: whether the gateway would serve live data from it, and if not, why."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.ops.probe_report import PAYLOAD_CHARS, Findings, feed_mode, problems, report, shortened, unit_of
from gateway.redis.name_refusals import INTERVAL, SYMBOL

NOW_MS = 1_732_320_600_000


def findings(**changes: Any) -> Findings:
    """A source that is served: messages arrive, keys are as expected."""
    found = Findings("redis", "redis://h:1/0", symbols={"BTCUSDT"}, listened_s=3.0, keys_change=True, setting="")
    for _ in range(5):
        found.messages.take("", "", b"")
        found.stored.take("", "", b"")
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def without_messages(**changes: Any) -> Findings:
    return findings(messages=Findings("", "").messages, **changes)


def found_problems(found: Findings, mode: str = "pubsub", *, may_enable: bool = False) -> list[str]:
    return list(problems(found, mode, may_enable=may_enable))


def test_a_source_with_usable_messages_is_served() -> None:
    assert found_problems(findings()) == []


@pytest.mark.parametrize(
    ("found", "configured", "is_cluster", "may_enable", "mode"),
    [
        pytest.param(findings(), "poll", False, False, "poll", id="as-configured"),
        pytest.param(findings(), "auto", False, False, "pubsub", id="messages"),
        pytest.param(without_messages(), "auto", False, False, "poll", id="notifications-off"),
        pytest.param(without_messages(), "auto", False, True, "keyspace", id="may-switch-them-on"),
        pytest.param(without_messages(setting="KEA"), "auto", False, False, "keyspace", id="notifications-on"),
        pytest.param(without_messages(setting=None), "auto", False, False, "keyspace", id="server-does-not-say"),
        pytest.param(without_messages(keys_change=False), "auto", False, False, "pubsub", id="nothing-changes"),
        pytest.param(without_messages(), "auto", True, False, "pubsub", id="cluster"),
    ],
)
def test_the_feed_mode_is_the_one_that_the_gateway_would_use(
    found: Findings, configured: str, is_cluster: bool, may_enable: bool, mode: str
) -> None:
    assert feed_mode(found, configured, is_cluster=is_cluster, may_enable=may_enable) == mode


def test_a_failure_is_the_only_problem() -> None:
    found = findings(symbols=set(), failures=["cannot connect to it: refused"])
    assert found_problems(found) == ["cannot connect to it: refused"]
    assert report(found, "pubsub", found_problems(found), NOW_MS).splitlines() == [
        "source redis at redis://h:1/0",
        "  problem        cannot connect to it: refused",
    ]


def test_names_that_are_all_refused_are_a_problem_with_an_example() -> None:
    found = findings(symbols=set())
    assert found_problems(found) == [
        "nothing to serve: no key and no message has a name of the contract (redis.prefix, redis.*_key, redis.*_stream)"
    ]
    found.refusals.note(INTERVAL, b"klines:A:7m")
    found.refusals.note(SYMBOL, b"ticker:a~b")
    assert found_problems(found) == [
        "nothing to serve: all that looks like market data is refused by its name, for example ticker:a~b"
    ]


def test_what_seems_to_have_written_keys_of_other_names_is_said() -> None:
    found = findings(symbols=set(), advice="sorted set k looks like ccxt")
    assert found_problems(found)[1:] == ["sorted set k looks like ccxt"]


def test_refused_payloads_that_look_like_another_format_name_it() -> None:
    found = findings()
    found.stored.take("not_an_object", "BTCUSDT 1m", b"[1,2,3,4,5,6]")
    assert found_problems(found) == ['stored values that are refused look like ccxt: set feed.format = "ccxt"']
    found.format = "ccxt"
    assert found_problems(found) == []


def test_payloads_that_are_all_refused_are_a_problem_with_the_reasons_and_examples() -> None:
    found = findings(messages=Findings("", "").messages)
    for payload in (b"\x1f\x8b", b"\x1f\x8c"):
        found.messages.take("bad_json", "BTCUSDT", payload)
    (problem,) = found_problems(found)
    assert problem == "no message can be used: bad_json (2), for example BTCUSDT \\x1f\\x8b"
    found.messages.take("", "", b"")
    assert found_problems(found) == []
    assert "2 of 3 messages: bad_json (2)" in report(found, "pubsub", [], NOW_MS)


@pytest.mark.parametrize(
    ("found", "mode", "may_enable", "problem"),
    [
        (without_messages(), "keyspace", False, "notify-keyspace-events is '': run CONFIG SET"),
        (without_messages(), "keyspace", True, ""),
        (without_messages(setting=None), "keyspace", False, ""),
        (without_messages(), "poll", False, ""),
        (without_messages(), "pubsub", False, "keys change, but nothing is published"),
        (without_messages(keys_change=False), "poll", False, "nothing has changed in 3 s"),
        (findings(units={"scores": "seconds"}), "pubsub", False, "scores of klines are seconds, not ms"),
    ],
)
def test_each_reason_why_nothing_live_would_be_served_is_a_problem(
    found: Findings, mode: str, may_enable: bool, problem: str
) -> None:
    shown = found_problems(found, mode, may_enable=may_enable)
    assert [text[: len(problem)] for text in shown] == ([problem] if problem else [])


def test_the_report_says_what_would_be_served_and_what_refused() -> None:
    found = findings(
        symbols={f"S{number}USDT" for number in range(9)},
        intervals={"1m", "1d"},
        keys=1234,
        scanned_all=False,
        newest_ticker=(NOW_MS - 1500, "S1USDT"),
        newest_closed={"1m": NOW_MS - 90_000, "1d": NOW_MS - 36_000_000, "1M": NOW_MS - 10 * 86_400_000},
        units={"lastUpdate": "seconds"},
    )
    found.refusals.note(SYMBOL, b"ticker:a~b")
    found.refusals.keys = {SYMBOL: 2}
    found.refusals.messages[SYMBOL] = 7
    found.refusals.unnameable["Binance streams"] = "kPEPE"
    counts = "keys: 2, messages: 7"
    assert report(found, "pubsub", ["it is wrong"], NOW_MS).splitlines() == [
        "source redis at redis://h:1/0",
        "  serves         9 symbols: S0USDT, S1USDT, S2USDT, S3USDT, S4USDT, S5USDT, S6USDT, S7USDT, …",
        "  intervals      1d 1m",
        "  keys           1,234 scanned, not all: the scan was ended early",
        "  newest ticker  1.5 s ago (S1USDT)",
        "  newest closed  1M 10.0 d ago; 1d 10.0 h ago; 1m 1.5 min ago",
        "  feed mode      pubsub; 5 messages in 3 s",
        "  notifications  notify-keyspace-events is ''",
        f"  refuses        symbol (market.symbol_pattern does not admit it); {counts}; for example ticker:a~b",
        "  times          lastUpdate in seconds, where ms are expected",
        "  note           kPEPE cannot be named in Binance streams",
        "  problem        it is wrong",
    ]


def test_the_report_says_what_is_not_known() -> None:
    found = without_messages(symbols=set(), keys_change=False, setting=None, newest_ticker=(NOW_MS + 120_000, "A"))
    lines = report(found, "pubsub", [], NOW_MS).splitlines()
    assert "  serves         no symbol" in lines
    assert "  intervals      none is stored or sent" in lines
    assert "  feed mode      pubsub; 0 messages in 3 s, and no key changes" in lines
    assert "  newest ticker  2.0 min ahead of the clock here (A)" in lines
    found.keys_change = True
    assert "0 messages in 3 s, while keys change" in report(found, "poll", [], NOW_MS)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (b"1732320600000", ""),
        (b"1732320600", "seconds"),
        (b"1732320600000000", "microseconds"),
        (b"1732320600000000000", "nanoseconds"),
        (b"1732320600000.5", "ms with a fraction"),
        (b"1732320600.5", "seconds"),
        (b"2024-11-23T00:10:00Z", "text"),
        (b"12", "no unit that can be told"),
    ],
)
def test_the_unit_of_a_time_is_told_by_its_magnitude(text: bytes, unit: str) -> None:
    assert unit_of(text) == unit


def test_a_payload_is_shortened_and_made_printable() -> None:
    assert shortened(b"a\nb\xff") == "a\\x0ab\\xff"
    assert shortened(b"x" * 500) == "x" * PAYLOAD_CHARS + "…"
