"""Commands of Binance's stream dialect, without sockets and in virtual time."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
import pytest

from gateway.access.connection import ConnectionAccess, ConnectionLimits
from gateway.delivery.close_codes import Close
from gateway.delivery.load_level import Load
from gateway.delivery.session import CONTROL_MAX_BYTES
from gateway.delivery.throttle import DEFAULT, FAST, tier_for_rate
from gateway.http.admission import Admission
from gateway.model.symbol import SymbolRule
from gateway.protocol.binance_commands import StreamNames
from gateway.runtime.clock import SteadyClock
from gateway.stream.binance import BinanceClient, BinanceService
from gateway.stream.endpoint import Endpoint
from tests.builders import kline, kline_update
from tests.fakes import FakeSocket, messages
from tests.unit.runtime.rig import CONFIG, Rig

STREAM = "aaausdt@kline_1m"


class Bot:
    """A client, and the gateway that it is connected to."""

    def __init__(self, *, exempt: bool = True) -> None:
        self.rig = Rig()
        self.rig.ingest.connected()
        self.rig.market.read = True
        self.forms(0)
        clock = SteadyClock(self.rig._now_ns, self.rig._now_ns)
        admission = Admission(CONFIG, self.rig.counters, Load(CONFIG.stream.shed_above))
        endpoint = Endpoint(CONFIG, self.rig.hub, self.rig.writer, self.rig.counters, admission, clock)
        names = StreamNames(SymbolRule(), CONFIG.market.intervals)
        self.service = BinanceService(endpoint, self.rig.market, names)
        self.socket = FakeSocket()
        access = ConnectionAccess("local", ConnectionLimits(CONFIG.limits, 10), 0.0, exempt=exempt)
        assert admission.control.admit(access) is None
        dialect = self.service.dialect(combined=False, micro=False)
        self.client = BinanceClient(self.service, self.socket, access, dialect)  # type: ignore[arg-type]

    def forms(self, number: int, **changes: Any) -> None:
        self.rig.market.apply(kline_update(kline(number, **changes), "AAAUSDT"), self.rig.now_ms)

    def say(self, method: str, *params: object, id: object = 1) -> None:
        self.client.received(json.dumps({"method": method, "params": params, "id": id}).encode())

    def ask(self, method: str, *params: object) -> Any:
        """The reply to a command; events that came before it are dropped."""
        self.say(method, *params)
        return [message for message in messages(self.socket.read()) if "id" in message][-1]

    async def flush(self) -> list[Any]:
        await self.rig.flush()
        return messages(self.socket.read())


@pytest.fixture
async def bot() -> Bot:
    return Bot()


async def test_a_stream_of_the_url_begins_with_the_next_flush_and_needs_no_reply(bot: Bot) -> None:
    bot.client.begin([STREAM, "0"])
    assert bot.socket.read() == b""
    (event,) = await bot.flush()
    assert (event["e"], event["k"]["x"]) == ("kline", False)


async def test_subscribe_and_unsubscribe_are_answered_and_listed(bot: Bot) -> None:
    assert bot.ask("SUBSCRIBE", STREAM) == {"result": None, "id": "1"}
    assert bot.ask("LIST_SUBSCRIPTIONS")["result"] == [STREAM]
    assert [event["e"] for event in await bot.flush()] == ["kline"]
    assert bot.ask("UNSUBSCRIBE", STREAM, "btcusdt@nothing") == {"result": None, "id": "1"}
    assert bot.ask("LIST_SUBSCRIPTIONS")["result"] == []


async def test_a_close_is_an_event_once(bot: Bot) -> None:
    bot.client.begin([STREAM])
    await bot.flush()
    for _ in range(2):
        bot.forms(0, closed=True)
    assert [event["k"]["x"] for event in await bot.flush()] == [True]
    assert await bot.flush() == []


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("SUBSCRIBE", (), "2"),
        ("DESTROY", (), "2"),
        ("GET_PROPERTY", ("colour",), "0"),
        ("GET_PROPERTY", (5,), "2"),
        ("SET_PROPERTY", ("combined", 1), "1"),
        ("SET_PROPERTY", ("max_rate", -1), "2"),
        ("SET_PROPERTY", ("latency_ms", -1), "2"),
        ("SET_PROPERTY", ("latency_ms", True), "2"),
        ("SET_PROPERTY", ("latency_ms", "0"), "2"),
        ("SET_PROPERTY", ("latency_ms",), "2"),
        ("SET_PROPERTY", ("colour", 1), "0"),
        ("SET_PROPERTY", (), "2"),
    ],
)
async def test_a_command_that_is_refused_says_why_and_ends_nothing(
    bot: Bot, method: str, params: tuple[object, ...], code: str
) -> None:
    reply = bot.ask(method, *params)
    assert (reply["error"]["code"], reply["id"]) == (code, "1")
    assert not bot.socket.closing


@pytest.mark.parametrize(
    ("name", "value", "found"), [("combined", True, True), ("closed_only", True, True), ("max_rate", 5, "5.0")]
)
async def test_a_property_that_is_set_can_be_read(bot: Bot, name: str, value: object, found: object) -> None:
    assert "result" in bot.ask("SET_PROPERTY", name, value)
    reply = bot.ask("GET_PROPERTY", name)
    assert reply["result"] == found


@pytest.mark.parametrize(("latency_ms", "found"), [(0, "1"), (1, "1"), (0.5, "1"), (1.5, None), (1000, None)], ids=str)
async def test_a_latency_up_to_a_millisecond_is_every_event_at_once(
    bot: Bot, latency_ms: float, found: str | None
) -> None:
    assert bot.ask("GET_PROPERTY", "latency_ms")["result"] is None
    assert bot.ask("SET_PROPERTY", "latency_ms", latency_ms) == {"result": None, "id": "1"}
    assert bot.ask("GET_PROPERTY", "latency_ms")["result"] == found
    assert bot.client.session.pace.tier == (FAST if found else DEFAULT)


async def test_a_longer_latency_ends_the_wish_and_a_rate_goes_before_it(bot: Bot) -> None:
    bot.client.begin([STREAM], fast=True)
    assert bot.client.session.pace.tier == FAST
    bot.ask("SET_PROPERTY", "max_rate", 4)
    assert bot.client.session.pace.tier == tier_for_rate(4)
    bot.ask("SET_PROPERTY", "max_rate", 0)
    assert bot.client.session.pace.tier == FAST
    bot.ask("SET_PROPERTY", "latency_ms", 100)
    assert bot.client.session.pace.tier == DEFAULT


@pytest.mark.parametrize("fast_for", ["token", "nobody"])
async def test_a_latency_that_is_not_for_the_connection_is_refused_or_in_the_url_ignored(
    bot: Bot, fast_for: Literal["token", "nobody"]
) -> None:
    stream = msgspec.structs.replace(CONFIG.stream, fast_for=fast_for)
    bot.service.endpoint.configure(msgspec.structs.replace(CONFIG, stream=stream))
    bot.client.begin([STREAM], fast=True)
    assert bot.client.session.pace.tier == DEFAULT
    assert [event["e"] for event in await bot.flush()] == ["kline"]
    reply = bot.ask("SET_PROPERTY", "latency_ms", 0)
    assert reply["error"]["code"] == "2"
    assert "latency_ms" in reply["error"]["msg"]
    assert bot.ask("GET_PROPERTY", "latency_ms")["result"] is None
    # To wish for nothing is for everybody.
    assert "result" in bot.ask("SET_PROPERTY", "latency_ms", 100)


def _is_paused(bot: Bot) -> bool:
    return bot.socket.paused


async def test_commands_are_not_read_while_too_many_replies_wait(bot: Bot) -> None:
    bot.client.begin([STREAM])
    bot.socket.stall()
    await bot.rig.flush()
    asked = 0
    while not _is_paused(bot):
        bot.say("LIST_SUBSCRIPTIONS", id=asked)
        asked += 1
    waiting = sum(map(len, bot.client.session.control))
    assert CONTROL_MAX_BYTES < waiting < 2 * CONTROL_MAX_BYTES
    bot.socket.stall(False)
    await bot.rig.flush()
    assert not _is_paused(bot)
    replies = [int(message["id"]) for message in messages(bot.socket.read()) if "id" in message]
    assert replies == list(range(asked)), "none is lost, and they are in order"


async def test_a_client_that_does_not_stop_is_disconnected() -> None:
    bot = Bot(exempt=False)
    for _ in range(100 * CONFIG.limits.messages_burst):
        bot.say("LIST_SUBSCRIPTIONS")
        if bot.socket.closing:
            break
    assert bot.socket.closed_for is Close.RATE_LIMIT


async def test_a_planned_end_is_announced(bot: Bot) -> None:
    bot.client.begin([STREAM])
    await bot.flush()
    bot.client.warned(1000)
    assert [message["e"] for message in messages(bot.socket.read())] == ["serverShutdown"]


async def test_what_is_pending_is_written_before_the_end(bot: Bot) -> None:
    bot.client.begin([STREAM])
    await bot.flush()
    bot.forms(0, closed=True)
    bot.rig.hub.publish(bot.rig.market.take_changes())
    bot.client.draining()
    assert [event["k"]["x"] for event in messages(bot.socket.read())] == [True]


async def test_a_connection_that_is_lost_leaves_nothing(bot: Bot) -> None:
    bot.client.begin([STREAM])
    bot.client.lost()
    assert not bot.rig.hub.sessions
