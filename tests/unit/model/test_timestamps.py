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
        (b"2026-11-28T23:19:20.163Z", MS),
        (b"2026-11-28T23:19:20.163+00:00", MS),
        (b"2026-11-28 23:19:20.163", MS),
    ],
)
def test_the_unit_is_told_by_the_magnitude(text: bytes | str, expected: int) -> None:
    assert time_of(text) == expected


@pytest.mark.parametrize(
    "text", [None, b"", b"0", b"yesterday", b"-5", b"179590796016", b"1e12", b"9" * 21, b"\xff", b"1" * 100, b"12:30"]
)
def test_what_is_no_time_is_unknown(text: bytes | None) -> None:
    assert time_of(text) is None
