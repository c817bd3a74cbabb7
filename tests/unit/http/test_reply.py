"""Which `Accept-Encoding` takes gzip."""

from __future__ import annotations

import pytest

from gateway.http.reply import accepts_gzip


@pytest.mark.parametrize(
    "header", ["gzip", "GZIP", "br, gzip", "gzip;q=0.5", "gzip; q=1.0, br", "*", "x-gzip", "br;q=0, *;q=0.1"]
)
def test_gzip_is_accepted(header: str) -> None:
    assert accepts_gzip(header)


@pytest.mark.parametrize("header", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0", "*, gzip;q=0"])
def test_gzip_is_not_accepted(header: str) -> None:
    assert not accepts_gzip(header)
