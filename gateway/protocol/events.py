"""The native protocol as Server-Sent Events: the same JSON, a message an event, for what speaks no WebSocket. Pure.

The format is that of the HTML standard, section 9.2 (https://html.spec.whatwg.org/multipage/server-sent-events.html).
Each update has an id, the time at which it was sent: what a client says when it comes back, so that nothing is missing.
"""

from __future__ import annotations

import orjson

from gateway.protocol.native import NativeDialect

NAME = "kline.v1.events"
"""Beside the subprotocols of the WebSocket variants."""

COMMENT = b":\n\n"
"""Says nothing, and shows that the connection lives."""


def close_event(code: int, reason: str) -> bytes:
    """The last event; `code`: as of a WebSocket's close frame."""
    return b"data:%b\n\n" % orjson.dumps({"op": "close", "code": code, "reason": reason})


class EventDialect(NativeDialect):
    """The native protocol with events instead of frames."""

    name = "events"

    def frame(self, body: bytes, now_ms: int, *, spare: bool) -> bytes:
        start = b'id:%d\ndata:{"op":"update","t":%d,"u":[' % (now_ms, now_ms)
        return b"".join((start, memoryview(body)[1:], b"]}\n\n"))

    def shutdown(self, retry_ms: int) -> bytes:
        # Browsers connect again by themselves, after this time.
        return b"retry:%d\n%b" % (max(retry_ms, 1), super().shutdown(retry_ms))

    def _message(self, text: bytes) -> bytes:
        return b"data:%b\n\n" % text
