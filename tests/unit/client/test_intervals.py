import pytest
from kline_gateway_client.intervals import INTERVALS, close_time_ms, next_open_ms, previous_open_ms

from gateway.model import interval as server

MOMENTS_MS = (1_704_067_200_000, 1_709_164_800_000, 1_735_603_200_000, 1_795_907_960_163)


def test_interval_names_equal_the_gateway_s() -> None:
    assert tuple(server.INTERVALS) == INTERVALS


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize("at_ms", MOMENTS_MS)
def test_open_and_close_times_equal_the_gateway_s(name: str, at_ms: int) -> None:
    interval = server.INTERVALS[name]
    open_ms = interval.open_time(at_ms)
    assert next_open_ms(name, open_ms) == interval.next_open(open_ms)
    assert previous_open_ms(name, open_ms) == interval.previous_open(open_ms)
    assert close_time_ms(name, open_ms) == interval.close_time(open_ms)
