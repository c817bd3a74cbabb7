from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from loadtest.processes import busy_ticks, cores, family, machine, pinned, usage

SLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen(SLEEP, stdin=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


def test_the_usage_of_a_process_grows_with_its_work() -> None:
    before = usage(os.getpid())
    # This process alone: the usage has its children's too, and other tests may have left servers running.
    started_s = time.process_time()
    while time.process_time() < started_s + 0.05:
        sum(range(10_000))
    after = usage(os.getpid())

    assert after.cpu_s > before.cpu_s
    assert after.waited_s >= before.waited_s
    assert 1_000 < after.rss_kb <= after.peak_kb


def test_children_are_counted_with_their_parent() -> None:
    alone = usage(os.getpid()).rss_kb
    process = child()
    try:
        assert process.pid in family(os.getpid())
        assert usage(os.getpid()).rss_kb > alone
    finally:
        end(process)
    assert process.pid not in family(os.getpid())


def test_an_ended_process_raises() -> None:
    process = child()
    end(process)

    with pytest.raises(ProcessLookupError):
        usage(process.pid)


def test_a_process_started_while_pinned_stays_on_its_core() -> None:
    before = os.sched_getaffinity(0)
    gateway_core, others = cores()
    with pinned(gateway_core):
        process = child()
    try:
        assert os.sched_getaffinity(process.pid) == gateway_core
        assert os.sched_getaffinity(0) == before
    finally:
        end(process)
    assert gateway_core <= before
    assert others <= before


def test_the_core_of_the_gateway_is_known_after_pinning() -> None:
    gateway_core, others = cores()
    with pinned(others):
        assert cores() == (gateway_core, others)
        assert machine()["cores"] == len(gateway_core | others)


def test_the_machine_is_described() -> None:
    described = machine()

    assert described["memory_mb"]
    assert str(described["python"]).startswith("3.")


def test_the_work_of_a_core_is_part_of_its_time() -> None:
    every = os.sched_getaffinity(0)
    busy, total = busy_ticks(every)

    assert 0 < busy < total
    assert busy_ticks(set()) == (0, 0)
    # `cpu`, the sum of all cores, is none of them.
    assert busy_ticks({min(every)})[1] <= total
