"""Open times in any unit."""

from __future__ import annotations

import pytest

from gateway.feed.formats.times import open_time_of
from gateway.model.feed_error import FeedError
from tests.builders import T0


@pytest.mark.parametrize("value", [T0, T0 // 1000, f"{T0 // 1000}.0", float(T0 // 1000), T0 * 1000])
def test_the_unit_does_not_matter(value: object) -> None:
    assert open_time_of(value, "1m") == T0


@pytest.mark.parametrize(
    ("value", "reason"), [(None, "missing_field"), ("noon", "bad_time"), (T0 + 1, "misaligned_time")]
)
def test_what_is_no_open_time_is_refused(value: object, reason: str) -> None:
    with pytest.raises(FeedError) as error:
        open_time_of(value, "1m")
    assert error.value.reason == reason
