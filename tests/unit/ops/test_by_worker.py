from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from gateway.ops.by_worker import by_worker

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE = """\
# HELP writes_total Writes { to } clients
# TYPE writes_total counter
writes_total 3.0
# HELP closes_total Ends
# TYPE closes_total counter
closes_total{code="1012",why="a \\"b\\" {c} d"} 2.0
# HELP lag_seconds Lag
# TYPE lag_seconds histogram
lag_seconds_bucket{le="+Inf"} 4.0
lag_seconds_count 4.0
lag_seconds_sum 0.5
"""
TWO = """\
# HELP writes_total Writes { to } clients
# TYPE writes_total counter
writes_total 5.0
# HELP only_here One has it alone
# TYPE only_here gauge
only_here 1.0
"""


def read(text: str) -> Mapping[tuple[str, str], Mapping[str, float]]:
    """As Prometheus reads it: samples by name and worker, then by what else tells them apart."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            key = (sample.name, labels.pop("worker", ""))
            found.setdefault(key, {})[str(sorted(labels.items()))] = sample.value
    return found


def test_each_sample_carries_its_worker_and_keeps_its_labels() -> None:
    found = read(by_worker({1: ONE, 2: TWO}))
    assert found["writes_total", "1"] == {"[]": 3.0}
    assert found["writes_total", "2"] == {"[]": 5.0}
    assert found["closes_total", "1"] == {"""[('code', '1012'), ('why', 'a "b" {c} d')]""": 2.0}
    assert found["lag_seconds_bucket", "1"] == {"[('le', '+Inf')]": 4.0}
    assert found["only_here", "2"] == {"[]": 1.0}


def test_a_family_is_told_once_with_the_samples_of_all() -> None:
    lines = by_worker({1: ONE, 2: TWO}).splitlines()
    heads = [line for line in lines if line.startswith("#")]
    assert len(heads) == len(set(heads)) == 8
    place = lines.index('writes_total{worker="1"} 3.0')
    assert lines[place + 1] == 'writes_total{worker="2"} 5.0'


def test_of_nobody_there_is_nothing() -> None:
    assert by_worker({}) == ""
    assert by_worker({1: "\n"}) == ""
