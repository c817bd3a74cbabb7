from __future__ import annotations

from loadtest.nemesis.keys_only import written
from loadtest.protocol.resp import encode


def test_a_ticker_that_would_be_published_becomes_the_value_of_its_key() -> None:
    assert written([encode("PUBLISH", "ticker:AAUSDT", b"\x1f\r\n{")]) == [encode("SET", "ticker:AAUSDT", b"\x1f\r\n{")]


def test_klines_are_not_published_and_what_is_stored_stays() -> None:
    stored = [encode("ZADD", "klines:AAUSDT:1s", 1, "{}"), encode("SET", "lastClosed:AAUSDT:1s", 1)]
    assert written([stored[0], encode("PUBLISH", "klines:AAUSDT:1s", "ticker:"), stored[1]]) == stored
