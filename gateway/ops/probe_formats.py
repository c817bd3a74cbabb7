"""Looks at keys whose names are not those of the settings, to tell what seems to have written them.

For `check-config --probe`, where nothing else was found. Reads a bounded part, writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.feed.formats.detect import looks_like
from gateway.feed.formats.stream_entry import entry_of
from gateway.redis.scan import SCAN_COUNT

if TYPE_CHECKING:
    from gateway.redis.deployment import Deployment

KEYS_MAX = 50
"""Keys whose values are read."""

_READS = {
    b"zset": (("ZREVRANGE", 0, 0), "sorted set", "redis.klines_key"),
    b"stream": (("XREVRANGE", "+", "-", "COUNT", 1), "stream", 'feed.mode = "streams" and redis.klines_stream'),
    b"string": (("GET",), "string", "redis.ticker_key"),
}
"""Type of a key -> how its newest value is read, its name for people, and what names it in the settings."""


class Foreign(NamedTuple):
    """A key that is not named by the settings, and looks like market data."""

    key: str
    kind: str
    format: str
    setting: str

    def advice(self, configured: str) -> str:
        """What to set. `configured`: the format in the settings."""
        of_format = "" if self.format == configured else f'feed.format = "{self.format}", and '
        return f"{self.kind} {self.key} looks like {self.format}: set {of_format}{self.setting} to names like this"


async def find_foreign(deployment: Deployment) -> Foreign | None:
    """The first key of some whose value looks like a format. Raises `RedisError` or `OSError`."""
    server = (await deployment.owners())[0]
    _, names = await deployment.execute("SCAN", 0, "COUNT", SCAN_COUNT, at=server)
    for name in sorted(names)[:KEYS_MAX]:
        read = _READS.get(await deployment.execute("TYPE", name))
        if read is None:
            continue
        (command, *options), kind, setting = read
        payload = _payload(await deployment.execute(str(command), name, *options))
        if found := looks_like(payload):
            return Foreign(name.decode("utf-8", "backslashreplace"), kind, found, setting)
    return None


def _payload(answer: Any) -> bytes:
    """The value in an answer to one of the reads; empty where there is none."""
    newest = answer[0] if isinstance(answer, list) and answer else answer
    if isinstance(newest, tuple):
        newest = entry_of(newest[1]).payload
    return newest if isinstance(newest, bytes) else b""
