"""The lines of `gateway top` and `gateway trace`: their content, and that they fit the terminal."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.ops.status.screen import (
    SPARK_CHARS,
    SPARK_SAMPLES,
    clock,
    short,
    span,
    spark,
    top,
    trace_header,
    trace_row,
    unreachable,
)

NOW_MS = 1_700_000_000_000
STATUS: dict[str, Any] = {
    "timestamp": NOW_MS,
    "level": "fresh",
    "headline": "Users get fresh data",
    "why": [],
    "process": {"version": "1.2.3", "pid": 42, "started": NOW_MS - 90_000},
    "feed": {
        "mode": "pubsub",
        "live": True,
        "reason": "",
        "age_ms": 12,
        "reconnects": 2,
        "history": True,
        "sources": {"main": {"linked": True, "followed": True, "age_s": 0.012}},
    },
    "symbols": {
        "known": 100,
        "quiet": 3,
        "quiet_after_ms": 15_000,
        "oldest": [{"symbol": "OLDUSDT", "age_ms": 61_000}],
    },
    "load": {"level": "normal", "because": "", "effects": [], "shares": {}, "surging": False},
    "clients": {
        "now": 1200,
        "flush_interval_ms": 5.2,
        "fast": {"wanted": 3, "served": 2},
        "tiers": [
            {"name": "fast", "clients": 2},
            {"name": "default", "clients": 1190},
            {"name": "60/s", "clients": 0},
            {"name": "30/s", "clients": 8},
        ],
        "slowest": [],
    },
    "gaps": {"open": 0, "last": []},
    "disconnects": [],
    "events": [],
    "samples": {
        name: [1, 2, 4]
        for name in (
            "feed_age_ms", "messages_per_s", "writes_per_s", "bytes_per_s", "clients", "behind", "busy", "lag_ms",
        )
    },
}  # fmt: skip
CLIENT = {
    "id": 17,
    "address": "192.0.2.7",
    "dialect": "native",
    "interval_ms": 800,
    "stalled_ms": 2500,
    "unsent_bytes": 40_000,
    "channels": 3,
}
WORKER = {
    "worker": 1,
    "level": "fresh",
    "clients": 1500,
    "process": {"pid": 71},
    "writes_per_s": 16_700,
    "bytes_per_s": 2_500_000,
    "busy": 0.42,
}
EVENT = {"at": NOW_MS, "until": NOW_MS, "kind": "disconnect", "what": "4000 slow client", "count": 1}


def status(**changes: Any) -> dict[str, Any]:
    """The status of a healthy gateway with changes: `feed={"live": False}` changes one key of the feed."""
    made = copy.deepcopy(STATUS)
    for name, change in changes.items():
        made[name] = made[name] | change if isinstance(change, dict) else change
    return made


def shown(width: int = 80, height: int = 24, **changes: Any) -> list[str]:
    return top(status(**changes), width, height, colour=False)


def test_the_verdict_is_the_first_line_and_its_reasons_follow() -> None:
    lines = shown(level="stale", headline="Users do not get fresh data", why=["not connected to Redis", "another"])
    assert lines[:3] == ["!! Users do not get fresh data", "   not connected to Redis", "   another"]


def test_clients_are_shown_by_tier() -> None:
    assert "clients  1,200, fast 2 of 3 that ask for it, default 1,190 every 5 ms, 30/s 8" in shown()
    assert "clients  0" in shown(clients={"now": 0, "tiers": [{"name": "default", "clients": 0}]})


def test_the_header_names_the_worker() -> None:
    assert shown(width=120, worker=2, workers=[WORKER], workers_wanted=3)[1].endswith("version 1.2.3, worker 2 of 3")


def test_each_of_several_workers_has_a_line_below_the_verdict() -> None:
    lines = shown(width=120, workers=[WORKER, WORKER | {"worker": 2, "busy": None, "level": "stale"}], workers_wanted=3)
    assert lines[1].endswith("version 1.2.3, all 2 of 3 workers")
    assert lines[2].split() == [
        "worker",
        "1",
        "process",
        "71",
        "fresh",
        "1,500",
        "clients,",
        "writes",
        "16.7",
        "k/s,",
        "2.50",
        "MB/s,",
        "42%",
        "in",
        "flushes",
    ]
    assert lines[3].split()[:5] == ["worker", "2", "process", "71", "stale"]
    assert lines[3].split()[-3:] == ["0%", "in", "flushes"]


def test_clients_and_events_of_several_workers_name_their_worker() -> None:
    event = EVENT | {"worker": 2}
    lines = shown(width=120, height=60, clients={"slowest": [CLIENT | {"worker": 2}]}, events=[event])
    assert lines[-3].startswith("2#17 ")
    assert lines[-1].endswith("worker 2, clients closed: 4000 slow client")


def test_lines_without_colour_have_no_escape_sequence() -> None:
    assert "\x1b" not in "".join(shown())
    assert "\x1b[32m" in top(STATUS, 80, 24, colour=True)[0]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 60)])
def test_lines_fit_the_terminal_however_much_there_is(width: int, height: int) -> None:
    lines = shown(width, height, clients={"slowest": [CLIENT] * 10}, events=[EVENT] * 40, why=["x" * 300])
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_the_slowest_clients_leave_room_for_events() -> None:
    text = "\n".join(shown(clients={"slowest": [CLIENT] * 10}, events=[EVENT] * 3))
    assert "#17" in text
    assert "192.0.2.7" in text
    assert "clients closed: 4000 slow client" in text


def test_a_client_without_an_address_gets_a_dash() -> None:
    client = {key: value for key, value in CLIENT.items() if key != "address"} | {"stalled_ms": 0}
    (row,) = (line for line in shown(clients={"slowest": [client]}) if line.startswith("#17"))
    assert row.split() == ["#17", "-", "800", "ms", "-", "40.0", "kB", "3", "native"]


def test_a_burst_has_its_count_and_an_unknown_kind_its_name() -> None:
    lines = shown(events=[EVENT | {"count": 1200}, EVENT | {"kind": "new"}])
    assert lines[-2].endswith("clients closed: 4000 slow client x 1,200")
    assert lines[-1].endswith("new: 4000 slow client")


def test_a_stale_feed_shows_its_reason() -> None:
    text = "\n".join(shown(feed={"live": False, "reason": "silent", "age_ms": None, "history": False}))
    assert "feed     stale: silent, pubsub, no update yet, 2 reconnects, history unavailable" in text


def test_several_sources_get_a_line_each() -> None:
    spare = {"linked": False, "followed": False, "age_s": None}
    lines = shown(feed={"sources": STATUS["feed"]["sources"] | {"spare": spare}})
    assert "  main        connected, active, last update 12 ms ago" in lines
    assert "  spare       disconnected, no update yet" in lines
    assert not any(line.startswith("  main") for line in shown())


def test_gaps_surges_and_disconnects_are_counted() -> None:
    gap = {"symbol": "BTCUSDT", "interval": "1m", "from": NOW_MS, "state": "given_up"}
    text = "\n".join(
        shown(
            gaps={"open": 2, "last": [gap]},
            load={"level": "busy", "because": "ingest 71 %", "effects": [], "shares": {}, "surging": True},
            disconnects=[{"code": 4000, "reason": "slow client", "count": 1200}],
        )
    )
    assert "gaps     2 open; BTCUSDT 1m from 22:13:20 given up" in text
    assert "load     busy because ingest 71 %, a surge: updates are conflated" in text
    assert "closed   4000 slow client: 1,200" in text


def test_without_samples_a_dash_is_shown() -> None:
    lines = shown(samples={name: [] for name in STATUS["samples"]}, symbols={"oldest": []})
    assert sum(line.endswith("most -") for line in lines) == len(STATUS["samples"])


def test_control_characters_from_outside_are_replaced() -> None:
    text = "\n".join(shown(symbols={"oldest": [{"symbol": "\x1b[2J\n", "age_ms": None}]}, why=["\x1b]0;x\x07"]))
    assert "\x1b" not in text
    assert "?[2J? never" in text


def test_a_gateway_that_does_not_answer_is_reported_above_its_last_status() -> None:
    lines = unreachable("timed out", STATUS, 80, 24, colour=False)
    assert lines[0] == "?? The gateway does not answer: timed out"
    assert lines[2] == "OK Users get fresh data"
    assert len(lines) <= 24


UPDATE = {
    "kind": "kline 1m",
    "event": NOW_MS,
    "read": NOW_MS + 3.5,
    "decoded": 0.25,
    "folded": 0.5,
    "tick": 7,
    "published": 20.5,
    "encoded": 21.0,
    "written": 22.0,
    "clients": 5,
    "waiting": 2,
    "outcome": "written",
}


def test_a_traced_update_shows_how_long_each_stage_took() -> None:
    assert trace_row(UPDATE).split() == (
        ["22:13:20.003", "kline", "1m", "3.50", "0.25", "0.25", "20.00", "0.50", "1.00", "25.50", "7", "5+2", "written"]
    )


def test_a_traced_update_of_several_workers_names_its_worker() -> None:
    assert trace_row(UPDATE | {"worker": 2}).endswith("  written, worker 2")


def test_stages_that_were_not_reached_get_a_dash() -> None:
    nothing = dict.fromkeys(("event", "decoded", "folded", "tick", "published", "encoded", "written"))
    row = trace_row(UPDATE | nothing | {"clients": 0, "waiting": 0, "outcome": "skipped: bad_json"})
    assert row.split() == [
        "22:13:20.003",
        "kline",
        "1m",
        "-",
        "-",
        "-",
        "-",
        "-",
        "-",
        "-",
        "-",
        "0",
        "skipped:",
        "bad_json",
    ]


def test_columns_stand_under_their_names() -> None:
    head, row = trace_header(), trace_row(UPDATE)
    for name, value in (("feed", "3.50"), ("published", "20.00"), ("written", "1.00"), ("clients", "5+2")):
        assert head.index(name) + len(name) == row.index(f" {value} ") + 1 + len(value)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "never"),
        (12, "12 ms"),
        (2500, "2.5 s"),
        (31_000, "31 s"),
        (125_000, "2 min 5 s"),
        (7_500_000, "2 h 5 min"),
        (180_000_000, "2 d 2 h"),
    ],
)
def test_durations_have_two_units_at_most(ms: float | None, text: str) -> None:
    assert span(ms) == text


def test_times_of_day_are_utc() -> None:
    assert clock(NOW_MS + 7) == "22:13:20"
    assert clock(NOW_MS + 7, fraction=True) == "22:13:20.007"


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999 "), (9999, "9,999 "), (12_345, "12.3 k"), (4_560_000, "4.56 M")]
)
def test_large_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


def test_a_sparkline_ends_with_the_newest_value() -> None:
    line = spark([None, *range(SPARK_SAMPLES * 2)])
    assert len(line) == SPARK_SAMPLES
    assert line[-1] == SPARK_CHARS[-1]
    assert spark([]) == spark([0, 0]) == " " * SPARK_SAMPLES


def test_the_archive_has_a_row_where_there_is_one() -> None:
    archive = {"leads": True, "behind_s": 0, "pending": 0, "missing": 0, "bytes": 2_500_000, "written": 1234}
    rows = top(STATUS | {"archive": archive}, 200, 40, colour=False)
    assert "archive  2.5 MB, 1,234 klines written" in rows
    troubled = archive | {"leads": False, "behind_s": 90, "missing": 17}
    (row,) = [row for row in top(STATUS | {"archive": troubled}, 200, 40, colour=False) if row.startswith("archive")]
    assert f"cannot be written for {span(90_000)}, 17 missing, another process writes" in row
    assert not any(row.startswith("archive") for row in top(STATUS | {"archive": None}, 200, 40, colour=False))


def test_replays_have_a_row_while_there_are_some() -> None:
    replays = {"sessions": 2, "started": 1234, "waits": {}}
    assert "replays  2 now, 1,234 begun" in top(STATUS | {"replays": replays}, 200, 40, colour=False)
    waited = replays | {"waits": {"reader": 1000}}
    assert "replays  2 now, 1,234 begun, 1,000 waits for the reader" in top(
        STATUS | {"replays": waited}, 200, 40, colour=False
    )
    for none in ({"replays": replays | {"sessions": 0}}, {}):
        assert not any(row.startswith("replays") for row in top(STATUS | none, 200, 40, colour=False))
