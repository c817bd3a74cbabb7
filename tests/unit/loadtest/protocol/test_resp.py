from __future__ import annotations

import hiredis

from loadtest.protocol.resp import encode


def test_commands_are_valid_resp() -> None:
    reader = hiredis.Reader()
    reader.feed(encode("PUBLISH", b"ticker:A", '{"s":"ü"}') + encode("ZADD", "key", 5, -1))

    assert reader.gets() == [b"PUBLISH", b"ticker:A", '{"s":"ü"}'.encode()]
    assert reader.gets() == [b"ZADD", b"key", b"5", b"-1"]
    assert reader.gets() is False
