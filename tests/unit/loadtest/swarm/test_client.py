from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson
import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from loadtest.protocol.ages import Ages
from loadtest.protocol.dialects import BINANCE, NATIVE
from loadtest.protocol.websocket import CLOSE, PING, PONG, TEXT, client_frame
from loadtest.scenario import load
from loadtest.swarm.client import Client, ConnectionEnded, State
from loadtest.swarm.follower import Follower


class Server:
    """The other end of one client, by a library that knows the rules."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._protocol = ServerProtocol(max_size=None)

    def open(self) -> bytes:
        self._protocol = ServerProtocol(max_size=None)
        self._protocol.receive_data(self._client.open_handshake())
        request = self._protocol.events_received()[0]
        assert isinstance(request, Request)
        self._protocol.send_response(self._protocol.accept(request))
        return b"".join(self._protocol.data_to_send())

    def commands(self, data: bytes) -> list[dict[str, Any]]:
        self._protocol.receive_data(data)
        frames = [event for event in self._protocol.events_received() if isinstance(event, Frame)]
        assert all(frame.opcode is Opcode.TEXT for frame in frames)
        return [orjson.loads(frame.data) for frame in frames]


def state(client: Client) -> State:
    """As a call: the checker of types cannot know that taking a message changes it."""
    return client.state


def scenario(*overrides: str) -> Any:
    return load(
        "smoke", ("clients.tickers=2", "clients.klines=1", "clients.history=3", "feed.intervals=['1m']", *overrides)
    )


def joined(client: Client) -> list[dict[str, Any]]:
    server = Server(client)
    answer = client.finish_handshake(server.open())
    assert answer is not None
    return server.commands(answer[0])


def make(*overrides: str, follows: bool = False) -> Client:
    follower = Follower(1, lambda _: None) if follows else None
    return Client(1, scenario(*overrides), NATIVE, "127.0.0.1:1", follower)


def says(client: Client, **message: Any) -> str:
    return client.receive(TEXT, orjson.dumps(message))[0]


def grant(client: Client, *names: str, refused: str | None = None) -> None:
    channels: dict[str, Any] = {name: {"n": place} for place, name in enumerate(names)}
    if refused:
        channels[refused] = {"error": {"code": "UNAVAILABLE", "message": ""}}
    says(client, op="subscribed", id=0, channels=channels)


def show(client: Client, name: str, open_time_ms: int = 60_000, **extra: Any) -> str:
    body: dict[str, Any] = {"ticker": None}
    if name.startswith("kline"):
        body = {"klines": [{"openTime": open_time_ms, "volume": 2}], "forming": None}
    return says(client, op="snapshot", n=0, channel=name, **body, **extra)


def test_a_client_subscribes_as_its_scenario_says() -> None:
    client = make()
    (body,) = joined(client)

    assert body["op"] == "subscribe"
    assert body["history"] == 3
    assert [name.split(":")[0] for name in body["channels"]] == ["ticker", "ticker", "kline"]
    assert body["channels"][2].endswith(":1m")
    assert "resume" not in body


def test_many_channels_are_subscribed_in_several_commands() -> None:
    client = make("feed.symbols=300", "clients.tickers=300", "clients.history=0")

    bodies = joined(client)

    assert [len(body["channels"]) for body in bodies] == [200, 101]
    assert len({body["id"] for body in bodies}) == 2
    assert "history" not in bodies[0]


def test_an_unfinished_handshake_is_waited_for() -> None:
    client = make()
    answer = Server(client).open()

    assert client.finish_handshake(answer[:20]) is None
    assert state(client) is State.HANDSHAKE


def test_the_offset_of_frames_after_the_handshake_is_returned() -> None:
    client = make()
    answer = Server(client).open()
    found = client.finish_handshake(answer + b"\x81\x02{}")

    assert found is not None
    assert found[1] == len(answer)


def test_without_snapshots_a_client_is_ready_with_the_reply() -> None:
    follower = Follower(1, lambda _: None)
    client = Client(1, scenario("clients.klines=0", "clients.dialect=binance"), BINANCE, "127.0.0.1:1", follower)
    (body,) = joined(client)
    assert state(client) is State.SUBSCRIBING
    ages: defaultdict[str, Ages] = defaultdict(Ages)

    assert client.receive(TEXT, b'{"result":null,"id":0}')[0] == "subscribed"
    symbol = body["params"][0].partition("@")[0].upper()

    assert state(client) is State.READY
    assert follower.apply([(f"ticker:{symbol}", {"c": 10_000_001.0001})], 10_000_021, ages) == (1, 0)
    assert (follower.sums["unknown"], ages["ticker"].count) == (0, 1)


def test_without_channels_a_client_is_ready_at_once() -> None:
    client = make("clients.tickers=0", "clients.klines=0")

    assert joined(client) == []
    assert state(client) is State.READY


def test_a_client_is_ready_with_its_last_snapshot() -> None:
    client = make()
    ((ticker, other, kline),) = [body["channels"] for body in joined(client)]

    assert says(client, op="hello") == "hello"
    grant(client, ticker, other, kline)
    states = []
    for name in (ticker, other, kline):
        assert show(client, name) == "snapshot"
        states.append(state(client))
    assert states == [State.SUBSCRIBING, State.SUBSCRIBING, State.READY]


def test_unavailable_channels_are_subscribed_again() -> None:
    client = make()
    ((ticker, other, kline),) = [body["channels"] for body in joined(client)]
    server = Server(client)
    server.open()
    client.state = State.SUBSCRIBING

    grant(client, ticker, other, refused=kline)
    show(client, ticker)
    show(client, other)
    assert state(client) is State.SUBSCRIBING
    refused_before = client.has_refused_channels

    (again,) = server.commands(client.subscribe_refused())
    assert again["channels"] == [kline]
    assert (refused_before, client.has_refused_channels) == (True, False)
    grant(client, kline)
    show(client, kline)
    assert state(client) is State.READY


def test_a_counting_client_resubscribes_without_a_cursor() -> None:
    client = make()
    first = joined(client)
    client.disconnect()

    assert joined(client) == first


def test_permanent_refusals_are_named_and_not_retried() -> None:
    client = make()
    ((ticker, other, kline),) = [body["channels"] for body in joined(client)]
    error = {"error": {"code": "INVALID_SYMBOL", "message": ""}}

    assert says(client, op="subscribed", id=0, channels={ticker: {"n": 1}, other: error, kline: error}) == (
        "refused INVALID_SYMBOL"
    )
    show(client, ticker)
    assert state(client) is State.READY


def test_a_resync_does_not_count_as_a_snapshot_of_a_subscription() -> None:
    client = make()
    ((ticker, other, kline),) = [body["channels"] for body in joined(client)]
    grant(client, ticker, other, kline)
    show(client, kline)

    assert show(client, kline, resync=True) == "resync"
    assert state(client) is State.SUBSCRIBING
    show(client, ticker)
    show(client, other)
    assert state(client) is State.READY


def test_a_follower_resumes_at_its_cursor() -> None:
    client = make(follows=True)
    ((ticker, other, kline),) = [body["channels"] for body in joined(client)]
    grant(client, ticker, other, kline)
    show(client, kline, open_time_ms=120_000)
    client.disconnect()
    assert state(client) is State.DISCONNECTED

    (body,) = joined(client)

    assert body["resume"] == {kline: 120_000}


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"op": "throttle", "interval_ms": 200, "reason": "load"}, "throttle load"),
        ({"op": "status", "channels": {"1": "stale"}, "reason": "redis"}, "status redis"),
        ({"op": "status", "channels": {"1": "live"}}, "status live"),
        ({"op": "error", "code": "BAD_JSON", "message": ""}, "error BAD_JSON"),
        ({"op": "heartbeat", "t": 1}, "heartbeat"),
    ],
)
def test_notices_are_named(message: dict[str, Any], name: str) -> None:
    assert says(make(), **message) == name


def test_pings_are_answered_with_their_payload() -> None:
    client = make()

    assert client.receive(PING, b"ab") == ("ping", client_frame(b"ab", PONG))
    assert client.receive(PONG, b"") == ("pong", b"")


@pytest.mark.parametrize(
    ("opcode", "payload", "how"),
    [(CLOSE, (1013).to_bytes(2, "big"), "closed 1013"), (CLOSE, b"", "closed 1005"), (-1, b"", "broken frame")],
)
def test_the_end_of_a_connection_is_named(opcode: int, payload: bytes, how: str) -> None:
    with pytest.raises(ConnectionEnded, match=how):
        make().receive(opcode, payload)


def test_a_refused_handshake_is_named_by_its_status() -> None:
    with pytest.raises(ConnectionEnded, match="refused 503"):
        make().finish_handshake(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")


def hello(*limits: str) -> bytes:
    return orjson.dumps({"op": "hello", "limits": dict.fromkeys(limits, 1)})


@pytest.mark.parametrize(
    ("fast", "limits", "asks"),
    [(1, ("latency_ms_min",), True), (1, ("history_max",), False), (0, ("latency_ms_min",), False)],
)
def test_the_fast_lane_is_asked_for_by_fast_clients_where_there_is_one(
    fast: int, limits: tuple[str, ...], asks: bool
) -> None:
    client = make(f"clients.fast={2 * fast}")
    server = Server(client)
    assert client.finish_handshake(server.open()) is not None

    kind, answer = client.receive(TEXT, hello(*limits))

    assert kind == "hello"
    assert server.commands(answer) == ([{"op": "set", "latency_ms": 0}] if asks else [])
