from __future__ import annotations

import pytest

from gateway.replay.address import AddressError, ReplayAddress, parse

NOW_MS = 1_800_000_000_000
OCTOBER_MS = 1_790_812_800_000
"""2026-10-01 00:00 UTC."""


@pytest.mark.parametrize(
    ("path", "from_ms", "to_ms", "speed", "stream"),
    [
        ("2026-10-01T00:00:00Z/60x/v1/stream", OCTOBER_MS, None, 60, "/v1/stream"),
        ("2026-10-01/60x/ws/btcusdt@kline_1m", OCTOBER_MS, None, 60, "/ws/btcusdt@kline_1m"),
        ("2026-10-01T00:00:00/1x/ws", OCTOBER_MS, None, 1, "/ws"),
        ("2026-10-01T02:00:00+02:00/2.5x/ws", OCTOBER_MS, None, 2.5, "/ws"),
        (f"{OCTOBER_MS}/{OCTOBER_MS + 1}/1000x/stream", OCTOBER_MS, OCTOBER_MS + 1, 1000, "/stream"),
        (f"2026-10-01/{OCTOBER_MS + 1500}/60x/7x/ws", OCTOBER_MS, OCTOBER_MS + 1500, 60, "/7x/ws"),
        ("2026-10-01T00:00:00.250Z/60x", OCTOBER_MS + 250, None, 60, "/"),
        ("0/60x/v1/stream", 0, None, 60, "/v1/stream"),
    ],
)
def test_times_and_speed_stand_before_the_path_of_the_stream(
    path: str, from_ms: int, to_ms: int | None, speed: float, stream: str
) -> None:
    assert parse(path, NOW_MS) == ReplayAddress(from_ms, to_ms, speed, stream)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "Expected /replay/FROM/SPEEDx/"),
        ("2026-10-01", "Expected /replay/FROM/SPEEDx/"),
        ("60x/v1/stream", "Expected /replay/FROM/SPEEDx/"),
        ("2026-10-01/v1/stream", "Expected /replay/FROM/SPEEDx/"),
        ("2026-10-01/2026-10-02/2026-10-03/60x/ws", "Expected /replay/FROM/SPEEDx/"),
        ("2026-10-01/-1x/ws", "Expected /replay/FROM/SPEEDx/"),
        ("2026-10-01/0.5x/ws", "Speed 0.5 is out of range: expected 1x to 1000x."),
        ("2026-10-01/1001x/ws", "Speed 1001 is out of range"),
        ("yesterday/60x/ws", "'yesterday' is no time: expected milliseconds since the epoch, or a time such as"),
        ("1790812800/60x/ws", "'1790812800' is no time"),
        ("20261001/60x/ws", "'20261001' is no time"),
        ("1969-12-31/60x/ws", "'1969-12-31' is no time"),
        ("2026-10-01/tomorrow/60x/ws", "'tomorrow' is no time"),
        ("x" * 100 + "/60x/ws", "'" + "x" * 40 + "' is no time"),
        ("2030-01-01/60x/ws", "2030-01-01 is in the future: a replay begins in the past."),
        (f"{NOW_MS}/60x/ws", "is in the future"),
        ("2026-10-01/2026-10-01/60x/ws", "The end 2026-10-01 is not after the beginning 2026-10-01."),
    ],
)
def test_what_is_no_address_is_refused_with_what_is_expected(path: str, message: str) -> None:
    with pytest.raises(AddressError) as refused:
        parse(path, NOW_MS)
    assert message in str(refused.value)
