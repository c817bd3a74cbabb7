"""uWebSockets through socketify: its own publish/subscribe by topic does the fan-out, all of it in C++.

socketify runs asyncio beside libuv by polling both in turn, which would cost a whole core. So Redis is read by libuv
itself, with a handle that socketify does not offer, and nothing else runs. Its messages for one client are joined by
uWebSockets until the end of the loop's turn.
"""

from __future__ import annotations

import json
import socket
from typing import Any

import cffi
from socketify import App, AppOptions, OpCode
from socketify.native import lib

from loadtest.peers.redis_updates import SUBSCRIBE, UpdateParser, arguments

BACKPRESSURE_BYTES = 1 << 20
"""What a client may be behind; further messages to it are dropped."""
_READ = 1 << 18
_POLL_HANDLE, _READABLE = 8, 1

_ffi = cffi.FFI()
_ffi.cdef(
    """
    size_t uv_handle_size(int type);
    int uv_poll_init_socket(void *loop, void *handle, int socket);
    int uv_poll_start(void *handle, int events, void (*callback)(void *, int, int));
    """
)


def serve() -> None:
    options = arguments(__doc__ or "")
    app = App(AppOptions(key_file_name=options.key, cert_file_name=options.chain) if options.chain else None)
    uv: Any = _ffi.dlopen("libuv.so.1")
    redis = socket.create_connection(("127.0.0.1", options.redis_port))
    redis.sendall(SUBSCRIBE)
    parser, publish, text = UpdateParser(), app.publish, OpCode.TEXT

    def on_message(ws: Any, message: str | bytes, _: Any) -> None:
        for channel in json.loads(message)["channels"]:
            ws.subscribe(channel)
        ws.send('{"op":"subscribed","channels":{}}', text)

    def on_redis(_handle: Any, _status: int, _events: int) -> None:
        for channel, payload in parser.feed(redis.recv(_READ)):
            publish(channel, payload, text)

    app.ws(
        "/*",
        {
            "max_payload_length": 64 * 1024,
            "idle_timeout": 0,
            "max_backpressure": BACKPRESSURE_BYTES,
            "message": on_message,
        },
    )
    app.listen({"port": options.port, "host": "127.0.0.1"}, lambda _: None)
    handle = _ffi.new("char[]", uv.uv_handle_size(_POLL_HANDLE))
    loop = _ffi.cast("void *", int(_address(lib.socketify_get_native_loop(app.loop.uv_loop._loop))))
    uv.uv_poll_init_socket(loop, handle, redis.fileno())
    callback = _ffi.callback("void(void *, int, int)", on_redis)
    uv.uv_poll_start(handle, _READABLE, callback)
    app.loop.uv_loop.run()


def _address(pointer: Any) -> int:
    """A pointer of socketify's own cffi, as a number."""
    address: int = cffi.FFI().cast("uintptr_t", pointer)
    return address


if __name__ == "__main__":
    serve()
