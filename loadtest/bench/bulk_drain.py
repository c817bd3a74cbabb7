"""What does a pub/sub message cost on its way in: whole socket reads through hiredis, or redis-py one at a time?

A real server, 20,000 ticker messages of about 180 bytes in 50 topics, published in bulk by this process (the same few
sends in every case) and read back on a pattern subscription. Compared: redis-py's `get_message`; reads of up to 256 KB
fed to a hiredis reader that is emptied in a loop; the same with only the newest payload per topic kept, as in a surge.
Per operation: one message.
"""

from __future__ import annotations

import redis
from hiredis import Reader

from loadtest.bench.runner import Case
from loadtest.feeder.ticker_feed import ticker_json
from loadtest.protocol.resp import Publisher, connect, encode
from simulator.server import EmbeddedServer

_MESSAGES = 20_000
_PER_SEND = 500
_SENDS = [
    b"".join(
        encode("PUBLISH", f"ticker:S{place % 50:03d}USDT", ticker_json(f"S{place % 50:03d}USDT", "12345678", "1234"))
        for place in range(_PER_SEND)
    )
] * (_MESSAGES // _PER_SEND)


def _redis_py() -> Case:
    server = EmbeddedServer()
    server.start()
    publisher = Publisher(server.url)
    client = redis.Redis.from_url(server.url)
    pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    pubsub.psubscribe("ticker:*")
    pubsub.get_message(timeout=1.0)

    def work() -> None:
        for data in _SENDS:
            publisher.send(data)
        taken = 0
        while taken < _MESSAGES:
            taken += pubsub.get_message(timeout=1.0) is not None

    def close() -> None:
        pubsub.close()
        client.close()
        publisher.close()
        server.stop()

    return Case(work, _MESSAGES, close=close)


def _hiredis(*, conflate: bool) -> Case:
    server = EmbeddedServer()
    server.start()
    publisher = Publisher(server.url)
    connection = connect(server.url)
    connection.sendall(encode("PSUBSCRIBE", "ticker:*"))
    connection.recv(4096)
    reader = Reader()

    def work() -> None:
        for data in _SENDS:
            publisher.send(data)
        taken = 0
        newest: dict[bytes, bytes] = {}
        while taken < _MESSAGES:
            reader.feed(connection.recv(1 << 18))
            while message := reader.gets():
                taken += 1
                if conflate:
                    newest[message[2]] = message[3]

    def close() -> None:
        connection.close()
        publisher.close()
        server.stop()

    return Case(work, _MESSAGES, close=close)


CASES = {
    "redis-py, get_message": _redis_py,
    "hiredis, whole reads": lambda: _hiredis(conflate=False),
    "hiredis, newest per topic": lambda: _hiredis(conflate=True),
}
