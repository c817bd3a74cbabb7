from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from loadtest.report.page import html
from loadtest.report.result import Connecting, MemoryStep, Verdict
from loadtest.report.terminal import line, summary
from tests.unit.loadtest.samples import checks, phase, result

if TYPE_CHECKING:
    from loadtest.report.result import Result


class Page(HTMLParser):
    """Tags and text of a page; it must not ask for anything from outside."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html(result))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "href"} & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def full() -> Result:
    return result(
        phase(),
        phase(
            "storm",
            gateway=None,
            join_ms={"count": 3, "p50": 1.0, "p90": 2.0, "p99": 3.0, "max": 4.0},
            http={
                "per_s": 9.5,
                "statuses": {"200": 3},
                "took_ms": {"count": 3, "p50": 1, "p90": 2, "p99": 3, "max": 4},
            },
            closes={"normal: dropped": 3},
            notices={"resync": 2},
        ),
        memory=[MemoryStep(0, 40.0, None), MemoryStep(100, 50.0, 102.4)],
        connecting=Connecting({"count": 1, "p50": 5, "p90": 5, "p99": 5, "max": 5}, {}, {"hello": 100}),
        checks=checks(decoded={"lost": 1, "current": 0}, kline_faults={"hole": 2}, examples=["hole: here"]),
        baseline={"us_per_write": 7.5, "frame_bytes": 500, "gateway_us_per_frame": 15.0, "ratio": 2.0},
        warnings=["steady: the swarm itself was the bottleneck (95% busy)"],
        verdicts=[Verdict("lost", 0, 1, False), Verdict("max_rss_mb", 100, None, False), Verdict("x", 1, 1, True)],
    )


def test_the_page_is_self_contained_and_has_the_verdicts() -> None:
    page = Page(full())

    assert page.tags.count("svg") == 3
    assert "script" not in page.tags
    for expected in (
        "A <small> run",
        "failed",
        "bottleneck",
        "not measured",
        "storm",
        "hole: here",
        "python -m loadtest",
    ):
        assert expected in page.text


def test_a_page_of_an_empty_result_is_valid() -> None:
    quiet = result(phase(ages_ms={}, gateway=None), series=[])

    page = Page(quiet)

    assert "svg" not in page.tags
    assert "passed" in page.text
    assert "Age of values" not in page.text.partition("Everything")[0]


def test_the_summary_has_the_figures_and_the_verdicts() -> None:
    text = summary(full())

    for expected in (
        "memory      100 connections  50.0 MB, 102.4 KB each",
        "updates  980 of 1,000 offered (98.00%), 98/s",
        "closed   10 of 10 klines",
        "slow     40 of 100 offered",
        "gateway  40.0 % CPU (30.0 user, 10.0 system), waited 1.0 %, 80.0 MB (peak 85.0)",
        "joining          p50 1  p90 2  p99 3  max 4 ms  (3)",
        "http     9.5/s {'200': 3}",
        "closes   normal: dropped: 3",
        "decoded  lost=1",
        "klines   7 closed ones checked, hole=2",
        "floor    7.5 us a bare write of 500 bytes, gateway 15.0 us: 2.0 x",
        "WARNING  steady",
        "FAIL     lost: 1 (limit 0)",
        "FAIL     max_rss_mb: not measured (limit 100)",
        "ok       x: 1 (limit 1)",
    ):
        assert expected in text, expected


def test_the_summary_omits_absent_figures() -> None:
    delivery: Any = phase().delivery
    nothing = {"offered": 0, "closed_offered": 0, "slow_offered": 0, "frames": 0}
    idle = phase(delivery=type(delivery)(**{name: nothing.get(name, 0) for name in delivery.__struct_fields__}))
    text = summary(result(idle, baseline={"us_per_write": 7.5, "frame_bytes": 500}))

    assert "updates  " not in text
    assert "wire" not in text
    assert "decoded  nothing" in text
    assert "no fault" in text
    assert "gateway 15" not in text


def test_a_second_is_one_line() -> None:
    row = {
        "t": 12.3,
        "ready": 100,
        "published_per_s": 3000,
        "updates_per_s": 100_000,
        "ticker p99 ms": 57.4,
        "swarm_busy": 0.25,
    }

    assert line("steady", row) == (
        "    12 s  steady         100 clients  in     3,000/s  out    100,000/s  ticker p99 57 ms  swarm 25% busy"
    )
    assert "gateway 40 % 80 MB" in line("steady", row | {"gateway_cpu": 40.2, "gateway_rss_mb": 80.0})
