"""Which `Accept-Encoding` takes gzip."""

from __future__ import annotations

import pytest

from gateway.config import HttpConfig
from gateway.http.reply import PAGES_MAX, PageLines, accepts_gzip


@pytest.mark.parametrize(
    "header", ["gzip", "GZIP", "br, gzip", "gzip;q=0.5", "gzip; q=1.0, br", "*", "x-gzip", "br;q=0, *;q=0.1"]
)
def test_gzip_is_accepted(header: str) -> None:
    assert accepts_gzip(header)


@pytest.mark.parametrize("header", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0", "*, gzip;q=0"])
def test_gzip_is_not_accepted(header: str) -> None:
    assert not accepts_gzip(header)


def test_the_lines_of_few_pages_are_kept() -> None:
    lines = PageLines(HttpConfig(cors_origins=("https://a.example",)))
    own = lines(b"https://a.example")
    assert b"access-control-allow-origin: https://a.example\r\n" in own.lower()
    for number in range(PAGES_MAX):
        assert b"allow-origin" not in lines(b"https://%d.example" % number)
    assert lines(b"https://" + b"x" * 1000 + b".example") == lines(b"https://0.example")
    assert lines(b"https://a.example") == own
    assert len(lines._kept) <= PAGES_MAX
