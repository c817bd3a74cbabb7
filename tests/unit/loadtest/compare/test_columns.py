from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.compare.columns import Column, ColumnError, columns


def test_without_options_there_are_the_gateway_and_all_peers() -> None:
    assert [(column.name, column.kind) for column in columns([], [], [])] == [
        ("gateway", "gateway"),
        ("picows", "picows"),
        ("socketify", "socketify"),
        ("nats", "nats"),
    ]


def test_further_gateways_follow_the_first() -> None:
    found = columns(["before", "short", "gateway"], ["before=../other", "short=."], ["short:stream.flush_max_ms=5"])

    assert found == [
        Column("gateway", "gateway"),
        Column("before", "gateway", Path("../other")),
        Column("short", "gateway", None, {"stream": {"flush_max_ms": 5}}),
    ]


def test_a_setting_without_a_name_is_for_all_gateways() -> None:
    settings = ["stream.flush_max_ms=5", "before:stream.flush_max_ms=7", "market.quiet=skip"]
    first, second = columns(["gateway", "before"], ["before=x"], settings)

    assert first.settings == {"stream": {"flush_max_ms": 5}, "market": {"quiet": "skip"}}
    assert second.settings == {"stream": {"flush_max_ms": 7}, "market": {"quiet": "skip"}}


@pytest.mark.parametrize(
    ("wanted", "gateways", "settings", "said"),
    [
        (["other"], [], [], "no server other; there are gateway picows socketify nats"),
        ([], ["before"], [], "expected NAME=PATH"),
        ([], ["=x"], [], "expected NAME=PATH"),
        ([], ["picows=x"], [], "expected NAME=PATH"),
        ([], [], ["other:stream.flush_max_ms=5"], "no gateway other"),
        ([], [], ["flush_max_ms=5"], "expected SECTION.KEY=VALUE"),
        ([], [], [":stream.flush_max_ms=5"], "expected SECTION.KEY=VALUE"),
        ([], [], ["stream.flush_max_ms"], "expected SECTION.KEY=VALUE"),
    ],
)
def test_a_wrong_option_is_named(wanted: list[str], gateways: list[str], settings: list[str], said: str) -> None:
    with pytest.raises(ColumnError, match=said):
        columns(wanted, gateways, settings)
