import pytest

from gateway.model.timestamps import time_of

MS = 1_795_907_960_163


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1795907960163", MS),
        ("1795907960163", MS),
        (b"1795907960163.0", MS),
        (b"1795907960", MS - 163),
        (b"1795907960.163", MS),
        (b"1795907960.1639", MS),
        (b"1795907960163000", MS),
        (b"1795907960163000000", MS),
        (MS, MS),
        (MS / 1000, MS),
        (MS * 1000, MS),
        (b'"2026-11-28T23:19:20.163Z"\n', MS),
        (b"2026-11-28T23:19:20.163Z", MS),
        (b"2026-11-28T23:19:20.163+00:00", MS),
        (b"2026-11-28 23:19:20.163", MS),
    ],
)
def test_the_unit_is_told_by_the_magnitude(text: object, expected: int) -> None:
    assert time_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(None, b"", b"0", b"yesterday", b"-5", b"179590796016", b"1e12", b"9" * 21, b"\xff", b"1" * 100, b"12:30"),
        *(True, 0, -5, 1000, 10**30, 0.5, float("nan"), float("inf"), [], {}, "20261128"),
        *(b"0001-01-01T00:00:00Z", b"1970-01-01T00:00:01Z", b"0000000000001"),
        *(b"2026-13-45T00:00:00Z", b"0000000001", b"0000000000000000001", b"2026-11-28"),
    ],
)
def test_what_is_no_time_of_this_age_is_unknown(text: object) -> None:
    assert time_of(text) is None
