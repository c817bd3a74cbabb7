"""Windows add up to the time of the process, and to what it has lost to others."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.delivery.load_meter import Cause, LoadMeter
from gateway.runtime import load_windows
from gateway.runtime.load_windows import LoadWindows, charge_tasks, scheduler_wait_s

if TYPE_CHECKING:
    from pathlib import Path


class Clocks:
    """Moved by hand, in seconds."""

    def __init__(self, *, says_waits: bool = True) -> None:
        self.now_s = 100.0
        self.thread_s = 10.0
        self.process_s = 20.0
        self.waited_s: float | None = 5.0 if says_waits else None
        self.waits = False
        self.meter = LoadMeter(lambda: self.thread_s)
        self.windows = LoadWindows(
            self.meter, lambda: self.waits, lambda: self.now_s, lambda: self.process_s, lambda: self.waited_s
        )
        self.windows.take(0, 0.0)

    def run(self, cause: Cause, seconds: float) -> None:
        with self.meter.charge(cause):
            self.idle_loop(seconds)

    def idle_loop(self, seconds: float) -> None:
        self.thread_s += seconds
        self.process_s += seconds
        self.now_s += seconds

    def lose(self, seconds: float) -> None:
        self.now_s += seconds
        if self.waited_s is not None:
            self.waited_s += seconds

    def taken(self, late_s: float = 0.0) -> dict[str, float]:
        spent_s = self.windows.take(7, late_s).spent_s
        return {cause: round(seconds, 6) for cause, seconds in spent_s.items() if seconds}


def test_a_window_has_what_was_charged_the_rest_and_what_was_lost() -> None:
    clocks = Clocks()
    clocks.run(Cause.INGEST, 1)
    clocks.idle_loop(2)
    clocks.lose(4)
    clocks.now_s += 8
    window = clocks.windows.take(7, 0.0)
    assert (window.elapsed_s, window.clients, window.http_waits) == (15, 7, False)
    assert window.spent_s[Cause.INGEST] == 1
    assert window.spent_s[Cause.REST] == 2
    assert window.spent_s[Cause.OTHERS] == 4


def test_each_window_begins_where_the_last_one_ended() -> None:
    clocks = Clocks()
    clocks.run(Cause.HTTP, 1)
    clocks.waits = True
    assert clocks.windows.take(0, 0.0).http_waits
    clocks.run(Cause.HTTP, 2)
    assert clocks.taken() == {"http": 2}
    assert clocks.windows.totals_s[Cause.HTTP] == 3


def test_time_of_other_threads_is_the_process_s_own_and_waiting_for_them_is_not_lost() -> None:
    clocks = Clocks()
    clocks.process_s += 3
    clocks.lose(3)
    assert clocks.taken() == {"rest": 3}
    assert clocks.windows.cpu_s() == 23


def test_where_the_system_does_not_say_the_time_lost_in_flushes_counts() -> None:
    clocks = Clocks(says_waits=False)
    clocks.lose(3)
    assert clocks.taken(late_s=2) == {"others": 2}


def test_a_task_is_charged_to_what_is_charged_when_it_is_made() -> None:
    thread_s = 0.0
    meter = LoadMeter(lambda: thread_s)

    async def read() -> None:
        nonlocal thread_s
        thread_s += 1
        await asyncio.sleep(0)
        thread_s += 2

    async def main() -> None:
        charge_tasks(asyncio.get_running_loop(), meter)
        with meter.charge(Cause.HTTP):
            task = asyncio.create_task(read(), name="read")
        assert task.get_name() == "read"
        await task
        await asyncio.create_task(read())

    asyncio.run(main())
    meter.settle()
    assert (meter.spent_s[Cause.HTTP], meter.spent_s[Cause.REST]) == (3, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how long a thread waits")
def test_linux_says_how_long_this_thread_has_waited() -> None:
    first_s = scheduler_wait_s()
    assert first_s is not None
    second_s = scheduler_wait_s()
    assert second_s is not None
    assert 0 <= first_s <= second_s


@pytest.mark.parametrize("content", [None, "", "1", "a b c"], ids=["absent", "empty", "short", "text"])
def test_a_system_that_does_not_say_is_no_error(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "schedstat"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(load_windows, "SCHEDSTAT", str(path))
    assert scheduler_wait_s() is None


def test_what_flushes_take_because_there_is_time_does_not_count_as_used() -> None:
    clocks = Clocks()
    clocks.run(Cause.FLUSH, 5)
    clocks.now_s += 5
    window = clocks.windows.take(7, 0.0, flush_share=0.2)
    assert window.spent_s[Cause.FLUSH] == 2
    assert clocks.windows.totals_s[Cause.FLUSH] == 5, "but it is counted"
