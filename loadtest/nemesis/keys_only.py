"""What a collector does that publishes nothing and only writes keys. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import RedisConfig
from loadtest.protocol.resp import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

_REDIS = RedisConfig()
assert _REDIS.ticker_key == _REDIS.ticker_channel, "a ticker is published where it is stored"

_PUBLISH = encode("PUBLISH", "", "")[: -len(b"$0\r\n\r\n") * 2]
_SET = _PUBLISH.replace(b"$7\r\nPUBLISH", b"$3\r\nSET")
_TICKER = _REDIS.ticker_channel.partition("{")[0].encode()


def written(commands: Iterable[bytes]) -> list[bytes]:
    """Commands without what they publish: a ticker becomes the value of its key, a kline is left out."""
    kept = []
    for command in commands:
        if not command.startswith(_PUBLISH):
            kept.append(command)
        elif command[len(_PUBLISH) :].partition(b"\r\n")[2].startswith(_TICKER):
            kept.append(_SET + command[len(_PUBLISH) :])
    return kept
