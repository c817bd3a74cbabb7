"""Both limits, and what is left, as `X-RateLimit-*` and as the IETF draft has them."""

from __future__ import annotations

import pytest

from gateway.access.token_bucket import Rate, TokenBuckets
from gateway.http.rate_headers import NAMES, rate_headers, rate_lines

RATE = Rate.per_minute(100, 600)


def test_the_headers_say_what_is_left_and_when_all_is_back() -> None:
    taken = TokenBuckets(10).take("a", 0, RATE, 7)
    found = {name.decode(): value.decode() for name, value in rate_headers(RATE, taken, 1_732_310_000.0)}
    assert found == {
        "x-ratelimit-limit": "600",
        "x-ratelimit-remaining": "593",
        "x-ratelimit-reset": "1732310005",
        "ratelimit": '"burst";r=593;t=5',
        "ratelimit-policy": '"burst";q=600, "sustained";q=100;w=60',
    }
    assert set(found) == {name.lower() for name in NAMES}


def test_the_lines_are_the_headers() -> None:
    taken = TokenBuckets(10).take("a", 0, RATE, 600)
    headers = rate_headers(RATE, taken, 5.5)
    assert rate_lines(RATE, taken, 5.5) == b"".join(b"%b: %b\r\n" % pair for pair in headers)


@pytest.mark.parametrize(
    ("per_minute", "policy"), [(0.1, b'"sustained";q=1;w=600'), (1, b'"sustained";q=1;w=60'), (1e6, b"q=1000000;w=60")]
)
def test_the_long_run_is_told_by_the_minute_or_by_the_wait_for_one(per_minute: float, policy: bytes) -> None:
    rate = Rate.per_minute(per_minute, 5)
    headers = dict(rate_headers(rate, TokenBuckets(10).take("a", 0, rate), 0.0))
    assert headers[b"ratelimit-policy"].endswith(policy)
