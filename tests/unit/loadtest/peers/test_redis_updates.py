from __future__ import annotations

from loadtest.peers.redis_updates import UpdateParser
from loadtest.protocol.resp import encode

SUBSCRIBED = encode("psubscribe", "ticker:*", "1")


def message(channel: str, payload: str) -> bytes:
    return encode("pmessage", "ticker:*", channel, payload)


def test_updates_are_given_once_they_are_complete() -> None:
    data = SUBSCRIBED + message("ticker:A", "1") + message("ticker:B", "2")
    parser = UpdateParser()

    assert parser.feed(data[:-3]) == [(b"ticker:A", b"1")]
    assert parser.feed(data[-3:]) == [(b"ticker:B", b"2")]
    assert parser.feed(b"") == []
