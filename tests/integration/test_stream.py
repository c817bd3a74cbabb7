"""The native stream over real sockets, with a client library and a feed of the test's own."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.frames import Opcode

from collector.encode import kline_event
from gateway.protocol import compact, native
from loadtest.protocol.websocket import client_frame, handshake
from tests.builders import MINUTE_MS, T0, kline
from tests.fakes import Folder
from tests.integration.live import BARS, PRICE, SYMBOL, WAIT_S, Client, Publisher, client, make_config, serving, until
from tests.integration.raw import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from simulator.server import EmbeddedServer
    from tests.integration.live import Serving


@pytest.fixture
async def up(redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
    """A gateway with two closed bars, a forming one and a price.

    Its log is long: tests close more bars a second than the store is read.
    """
    async with begun(redis_server, publisher, closed_log=2000) as found:
        yield found


@asynccontextmanager
async def begun(redis_server: EmbeddedServer, publisher: Publisher, closed_log: int) -> AsyncIterator[Serving]:
    for number in (0, 1):
        await publisher.closed(number)
    await publisher.ticker("100")
    stream = {"history_max": 50, "max_subscriptions": 5, "closed_log": closed_log}
    async with serving(make_config(redis_server, stream=stream)) as found:
        await publisher.forming(2)
        await until(lambda: found.inside.market.forming(SYMBOL, "1m"), "the forming bar")
        yield found


def numbers(klines: list[Any]) -> list[int]:
    return [(kline.open_time - T0) // MINUTE_MS for kline in klines]


def price_of(someone: Client) -> str:
    return (someone.view(PRICE).ticker or {"c": ""})["c"]


async def test_a_connection_begins_with_who_speaks_and_the_limits(up: Serving) -> None:
    async with client(up) as someone:
        assert someone.hello["op"] == "hello"
        assert someone.hello["protocol"] == "1"
        assert someone.hello["interval_ms"] == "20"
        assert someone.hello["limits"] == {
            "max_subscriptions": "5",
            "max_message_bytes": "8192",
            "history_max": "50",
            "latency_ms": "1",
        }
        assert someone.socket.subprotocol == "kline.v1.json"


@pytest.mark.parametrize("name", ["ticker:btcusdt", "kline:btcusdt:1m", "kline:BTCUSDT:1M"])
async def test_names_of_channels_are_taken_as_they_are_spelled(up: Serving, name: str) -> None:
    async with client(up) as someone:
        answer = await someone.ask("subscribe", channels=[name])
        code = "INVALID_INTERVAL" if name.endswith("1M") else "INVALID_SYMBOL"
        assert answer["channels"][name]["error"]["code"] == code
    assert (await up.get("/v1/klines?symbol=btcusdt&interval=1m")).json()["code"] == "INVALID_SYMBOL"


async def test_a_delta_takes_the_mark_off_a_bar_that_was_made_of_prices(up: Serving, publisher: Publisher) -> None:
    async with client(up) as someone:
        await someone.subscribe(BARS)
        view = someone.view(BARS)
        await publisher.closed(2)
        await publisher.publish(PRICE, json.dumps({"c": "104", "E": at(3) + 1}))
        await someone.until(lambda: view.forming and view.forming.provisional)
        someone.clear()
        await publisher.forming(3)
        await someone.until(lambda: view.forming and not view.forming.provisional)
        updates = [update for message in someone.said("update") for _, update in message["u"]]
        assert [update["provisional"] for update in updates if "provisional" in update] == [False]
        assert not any("openTime" in update for update in updates)


async def test_a_snapshot_of_a_stale_channel_says_why_and_since_when(redis_server: EmbeddedServer, up: Serving) -> None:
    redis_server.kill()
    await up.fresh(503)
    async with client(up) as someone:
        await someone.subscribe(BARS, PRICE)
        for snapshot in someone.said("snapshot"):
            assert (snapshot["state"], snapshot["reason"]) == ("stale", "redis")
            assert int(snapshot["since"]) > 0
        assert len(someone.said("snapshot")) == 2


@pytest.mark.parametrize("path", ["/v1/stream", "/realtime/v1/kline-updates"])
async def test_a_client_that_names_no_subprotocol_is_served_too(up: Serving, path: str) -> None:
    async with client(up, path=path, subprotocol=None) as someone:
        assert someone.socket.subprotocol is None
        await someone.subscribe(PRICE)
        assert someone.view(PRICE).ticker is not None


class TestSubscribe:
    async def test_is_answered_then_comes_the_snapshot_then_updates(self, up: Serving, publisher: Publisher) -> None:
        async with client(up) as someone:
            answer = await someone.subscribe(BARS, PRICE, history=10)
            assert answer["channels"].keys() == {BARS, PRICE}
            assert [message["op"] for message in someone.received[:3]] == ["subscribed", "snapshot", "snapshot"]
            view = someone.view(BARS)
            assert numbers(view.closed) == [0, 1]
            assert view.forming is not None
            assert (numbers([view.forming]), view.state) == ([2], "live")
            assert someone.view(PRICE).ticker is not None
            await publisher.forming(2, trades=5, event_time_ms=T0 + 170_000)
            await someone.until(lambda: view.forming and view.forming.trades == "5")
            await publisher.ticker("101.50")
            await someone.until(lambda: price_of(someone) == "101.50")
            await publisher.closed(2)
            await someone.until(lambda: numbers(view.closed) == [0, 1, 2])

    async def test_without_history_begins_with_the_forming_bar(self, up: Serving) -> None:
        async with client(up) as someone:
            await someone.subscribe(BARS)
            assert someone.view(BARS).closed == []
            assert someone.view(BARS).forming is not None

    async def test_again_sends_the_snapshot_again(self, up: Serving) -> None:
        async with client(up) as someone:
            first = await someone.subscribe(BARS)
            again = await someone.subscribe(BARS, history=1)
            assert again["channels"] == first["channels"]
            await someone.until(lambda: someone.view(BARS).snapshots == 2)
            assert numbers(someone.view(BARS).closed) == [1]

    async def test_answers_for_each_channel_and_does_not_let_one_spoil_the_others(self, up: Serving) -> None:
        async with client(up) as someone:
            wrong = ["kline:BTCUSDT:2m", "ticker:btcusdt", "ticker:NOSUCH", "kline:NOSUCH:1m", "book:BTCUSDT"]
            answer = await someone.subscribe(*wrong, PRICE)
            codes = {name: result["error"]["code"] for name, result in answer["channels"].items() if "error" in result}
            assert codes == {
                "kline:BTCUSDT:2m": "INVALID_INTERVAL",
                "ticker:btcusdt": "INVALID_SYMBOL",
                "ticker:NOSUCH": "INVALID_SYMBOL",
                "kline:NOSUCH:1m": "INVALID_SYMBOL",
                "book:BTCUSDT": "INVALID_CHANNEL",
            }
            assert someone.view(PRICE).live

    async def test_stops_at_the_limit(self, up: Serving, publisher: Publisher) -> None:
        symbols = [f"SYM{number}" for number in range(7)]
        for symbol in symbols:
            await publisher.ticker("1", symbol)
        await until(lambda: len(up.inside.market.symbols()) == 8, "all symbols")
        async with client(up) as someone:
            answer = await someone.subscribe(*(f"ticker:{symbol}" for symbol in symbols))
            refused = [result["error"]["code"] for result in answer["channels"].values() if "error" in result]
            assert refused == ["TOO_MANY_SUBSCRIPTIONS"] * 2
            assert len((await someone.ask("list"))["channels"]) == 5
            await someone.ask("unsubscribe", channels=["ticker:SYM0"])
            assert (await someone.subscribe("ticker:SYM6"))["channels"]["ticker:SYM6"]["n"]
            # What is there already costs nothing.
            assert "n" in (await someone.subscribe("ticker:SYM6"))["channels"]["ticker:SYM6"]


async def test_nothing_follows_an_unsubscribe_and_unknown_names_are_no_error(up: Serving, publisher: Publisher) -> None:
    async with client(up) as someone:
        await someone.subscribe(BARS, PRICE)
        answer = await someone.ask("unsubscribe", channels=[PRICE, "ticker:NOSUCH", "nonsense"])
        assert answer["channels"] == [PRICE, "ticker:NOSUCH", "nonsense"]
        assert (await someone.ask("list"))["channels"].keys() == {BARS}
        # The folder would fail on an update of a channel it has given up.
        for price in range(5):
            await publisher.ticker(str(price))
        await publisher.closed(2)
        await someone.until(lambda: numbers(someone.view(BARS).closed) == [2])


class TestSet:
    async def test_says_what_is_in_force_and_keeps_what_is_absent(self, up: Serving) -> None:
        async with client(up) as someone:
            assert (await someone.ask("set", max_rate=4))["interval_ms"] == "250"
            answer = await someone.ask("set", closed_only=True, max_bytes_per_min=50_000)
            assert (answer["max_rate"], answer["closed_only"], answer["max_bytes_per_min"]) == ("4.0", True, "50000")
            answer = await someone.ask("set", max_rate=None, max_bytes_per_min=None)
            assert (answer["max_rate"], answer["closed_only"], answer["max_bytes_per_min"]) == (None, True, None)
            assert (answer["interval_ms"], answer["latency_ms"]) == ("20", None)

    async def test_who_asks_for_every_update_at_once_is_sent_it_and_says_when_that_ends(
        self, up: Serving, publisher: Publisher
    ) -> None:
        async with client(up) as someone:
            answer = await someone.ask("set", latency_ms=0)
            assert (answer["interval_ms"], answer["latency_ms"]) == ("1", "1")
            await someone.subscribe(PRICE)
            await publisher.ticker("7")
            await someone.until(lambda: price_of(someone) == "7")
            answer = await someone.ask("set", latency_ms=None)
            assert (answer["interval_ms"], answer["latency_ms"]) == ("20", None)

    @pytest.mark.parametrize("subprotocol", [native.SUBPROTOCOL, compact.SUBPROTOCOL])
    async def test_event_times_come_with_every_value_for_who_asks(
        self, up: Serving, publisher: Publisher, subprotocol: str
    ) -> None:
        async with client(up, subprotocol=subprotocol) as timed, client(up, subprotocol=subprotocol) as plain:
            assert (await plain.ask("set", max_rate=None))["event_times"] is False
            await plain.subscribe(BARS, PRICE)
            await timed.subscribe(BARS, PRICE)
            assert (await timed.ask("set", event_times=True))["event_times"] is True
            bars, price = timed.view(BARS), timed.view(PRICE)
            # What it holds is sent once more, with its time; that of a price from the store is not known.
            await timed.until(lambda: bars.event_time)
            assert (bars.event_time, price.event_time) == (str(at(2) + 1000), None)
            await publisher.ticker("101.50")
            await publisher.forming(2, trades=5, event_time_ms=at(2) + 50_000)
            await timed.until(lambda: price_of(timed) == "101.50" and bars.forming and bars.forming.trades == "5")
            assert (price.event_time, bars.event_time) == (str(publisher.seen_ms), str(at(2) + 50_000))
            await publisher.closed(2, event_time_ms=at(3) + 1)
            await timed.until(lambda: numbers(bars.closed) == [2])
            assert bars.event_time == str(at(3) + 1)
            # The folders would fail on a time that is missing, and on one that was not asked for.
            await plain.until(lambda: numbers(plain.view(BARS).closed) == [2])
            await publisher.forming(3, event_time_ms=at(3) + 7)
            await timed.until(lambda: bars.forming and numbers([bars.forming]) == [3])
            await timed.subscribe(BARS, history=5)
            await timed.until(lambda: bars.snapshots == 2)
            assert bars.event_time == str(at(3) + 7)
            assert (await timed.ask("set", event_times=False))["event_times"] is False
            await publisher.ticker("102")
            await timed.until(lambda: price_of(timed) == "102")
            assert price.event_time is None

    async def test_event_times_are_on_or_off(self, up: Serving) -> None:
        async with client(up) as someone:
            assert (await someone.ask("set", event_times="yes"))["code"] == "BAD_REQUEST"

    async def test_a_wish_that_is_no_number_is_refused(self, up: Serving) -> None:
        async with client(up) as someone:
            for wish in (-1, "0", True):
                assert (await someone.ask("set", latency_ms=wish))["code"] == "BAD_REQUEST"

    async def test_a_rate_spaces_updates_out_and_the_newest_arrives(self, up: Serving, publisher: Publisher) -> None:
        async with client(up) as quick, client(up) as slow:
            await slow.ask("set", max_rate=5)
            for someone in (quick, slow):
                await someone.subscribe(PRICE)
                someone.clear()
            for price in range(60):
                await publisher.ticker(str(price))
                await asyncio.sleep(0.01)
            await quick.until(lambda: price_of(quick) == "59")
            await slow.until(lambda: price_of(slow) == "59")
            assert 1 <= len(slow.said("update")) <= 6
            assert len(quick.said("update")) > 2 * len(slow.said("update"))

    async def test_closed_only_leaves_out_the_rest_until_it_is_lifted(self, up: Serving, publisher: Publisher) -> None:
        async with client(up) as someone:
            await someone.ask("set", closed_only=True)
            await someone.subscribe(BARS, PRICE)
            someone.clear()
            await publisher.ticker("500")
            await publisher.closed(2)
            await publisher.forming(3, "300 300 300 300")
            await someone.until(lambda: numbers(someone.view(BARS).closed) == [2])
            assert [news for message in someone.said("update") for _, news in message["u"]] == [
                {**news, "isClosed": True} for message in someone.said("update") for _, news in message["u"]
            ]
            await someone.ask("set", closed_only=False)
            await someone.until(lambda: price_of(someone) == "500")
            await someone.until(lambda: (bar := someone.view(BARS).forming) and bar.open == "300")


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("{", "BAD_JSON"),
            ("[]", "BAD_REQUEST"),
            ('{"op":"subscribe"}', "BAD_REQUEST"),
            ('{"op":"nonsense"}', "UNKNOWN_OP"),
            ('{"op":"set","max_rate":"fast"}', "BAD_REQUEST"),
        ],
    )
    async def test_are_told_and_the_connection_lives_on(self, up: Serving, text: str, code: str) -> None:
        async with client(up) as someone:
            await someone.say(text)
            await someone.until(lambda: someone.said("error"))
            assert someone.said("error")[0]["code"] == code
            assert (await someone.ask("ping"))["op"] == "pong"
            assert await up.metric(f'gateway_command_errors_total{{code="{code}"}}') == 1

    async def test_a_binary_message_ends_the_connection(self, up: Serving) -> None:
        async with client(up) as someone:
            await someone.say(b'{"op":"ping"}')
            assert await someone.closed() == 1003

    async def test_a_message_that_is_too_large_ends_the_connection(self, up: Serving) -> None:
        async with client(up) as someone:
            await someone.say("x" * 8193)
            assert await someone.closed() == 1009

    async def test_a_message_of_the_largest_size_does_not(self, up: Serving) -> None:
        async with client(up) as someone:
            await someone.say(json.dumps({"op": "ping", "id": "big"}).ljust(8192))
            assert (await someone.reply("big"))["op"] == "pong"

    async def test_many_commands_at_once_are_all_answered_in_order(self, up: Serving) -> None:
        async with client(up) as someone:
            for number in range(50):
                op = {"op": "subscribe", "channels": [BARS], "history": 2} if number % 7 == 3 else {"op": "ping"}
                await someone.say({**op, "id": f"many-{number}"})
            await someone.reply("many-49")
            assert [reply["id"] for reply in someone.folder.replies] == [f"many-{number}" for number in range(50)]

    async def test_commands_that_come_while_history_is_read_wait_their_turn(self, up: Serving) -> None:
        async with peer(up.port, handshake("x", "/v1/stream")) as someone:
            someone.writer.write(
                b"".join(
                    client_frame(json.dumps(command).encode(), Opcode.TEXT)
                    for command in (
                        {"op": "subscribe", "channels": [BARS], "history": 5, "id": 1},
                        {"op": "list", "id": 2},
                        {"op": "subscribe", "channels": [BARS, PRICE], "history": 1, "id": 3},
                        {"op": "unsubscribe", "channels": [BARS], "id": 4},
                        {"op": "list", "id": 5},
                    )
                )
            )
            folder = Folder()
            async with asyncio.timeout(WAIT_S):
                while len(folder.replies) < 5:
                    folder.read(await someone.frame())
            assert [reply["id"] for reply in folder.replies] == ["1", "2", "3", "4", "5"]
            assert folder.replies[1]["channels"].keys() == {BARS}
            assert folder.replies[4]["channels"].keys() == {PRICE}

    @pytest.mark.parametrize("broken", ["inbox.commands.decode", "snapshots.check"])
    async def test_our_own_fault_ends_only_this_connection(
        self, up: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        part, _, name = broken.rpartition(".")
        async with client(up) as someone, client(up) as other:
            with monkeypatch.context() as patch:
                patch.setattr(attrgetter(part)(up.inside.stream.parts), name, fail)
                await someone.say({"op": "subscribe", "channels": [BARS], "history": 50})
                assert await someone.closed() == 1011
            assert (await other.ask("ping"))["op"] == "pong"
        assert "a bug" in caplog.text


class TestConnection:
    async def test_pings_are_answered_with_what_they_carried(self, up: Serving) -> None:
        async with client(up) as someone:
            assert await asyncio.wait_for(await someone.socket.ping(b"payload"), 5) >= 0

    async def test_a_goodbye_is_answered_with_its_code(self, up: Serving) -> None:
        async with client(up) as someone:
            await someone.socket.close(4321, "bye")
            assert someone.socket.close_code == 4321
        await until(lambda: not up.inside.hub.sessions, "the session's end")
        assert await up.metric("gateway_connections") == 0

    async def test_quiet_is_told_from_dead(self, redis_server: EmbeddedServer) -> None:
        config = make_config(redis_server, stream={"heartbeat_s": 0.1})
        async with serving(config) as up, client(up) as someone:
            await someone.until(lambda: len(someone.said("heartbeat")) >= 3)

    async def test_beyond_the_limit_handshakes_are_refused_and_told_when_to_retry(
        self, redis_server: EmbeddedServer
    ) -> None:
        async with serving(make_config(redis_server, stream={"max_connections": 1})) as up:
            async with client(up):
                with pytest.raises(InvalidStatus) as caught:
                    await connect(up.address.replace("http", "ws") + "/v1/stream", proxy=None)
                response = caught.value.response
                assert response.status_code == 503
                assert int(response.headers["Retry-After"]) > 0
            await until(lambda: not up.inside.hub.sessions, "the session's end")
            async with client(up) as someone:
                assert (await someone.ask("ping"))["op"] == "pong"

    async def test_a_request_that_is_no_handshake_is_told_so(self, up: Serving) -> None:
        assert (await up.get("/v1/stream")).status_code in (404, 426)

    async def test_a_client_that_answers_no_pings_is_sent_away(self, redis_server: EmbeddedServer) -> None:
        config = make_config(redis_server, stream={"ping_interval_s": 1.0, "ping_timeout_s": 0.5})
        async with serving(config) as up:
            async with peer(up.port, handshake("x", "/v1/stream")) as someone:
                # It reads, and says nothing: not even pongs.
                frames = await asyncio.wait_for(someone.rest(), WAIT_S)
            assert Opcode.PING in [opcode for opcode, _ in frames]
            opcode, payload = frames[-1]
            assert (opcode, int.from_bytes(payload[:2])) == (Opcode.CLOSE, 4001)
            assert await up.metric('gateway_disconnects_total{code="4001"}') == 1


class TestDialects:
    @pytest.mark.parametrize("compression", [None, "deflate"])
    @pytest.mark.parametrize("subprotocol", ["kline.v1.json", compact.SUBPROTOCOL])
    async def test_all_say_the_same(
        self, up: Serving, publisher: Publisher, subprotocol: str, compression: str | None
    ) -> None:
        async with client(up, subprotocol=subprotocol, compression=compression) as someone:
            assert someone.socket.subprotocol == subprotocol
            assert len(someone.socket.protocol.extensions) == (compression is not None)
            await someone.subscribe(BARS, PRICE, history=50)
            view = someone.view(BARS)
            for number in range(2, 20):
                await publisher.closed(number)
                await publisher.forming(number + 1, trades=number)
                await publisher.ticker(f"{number}.50")
            await someone.until(lambda: view.forming and view.forming.trades == "19")
            await someone.until(lambda: price_of(someone) == "19.50")
            assert numbers(view.closed) == list(range(20))
            assert isinstance(someone.received[-1], list) is (subprotocol == compact.SUBPROTOCOL)

    async def test_the_clients_order_of_preference_decides(self, up: Serving) -> None:
        address = up.address.replace("http", "ws") + "/v1/stream"
        offers: Any = ["soap", compact.SUBPROTOCOL, "kline.v1.json"]
        async with connect(address, subprotocols=offers, proxy=None) as socket:
            assert socket.subprotocol == compact.SUBPROTOCOL


class TestJoin:
    """Values count up, so a hole, a repetition or a step back is seen at once (the folder fails on the last two)."""

    async def test_a_snapshot_and_what_follows_leave_no_hole(self, up: Serving, publisher: Publisher) -> None:
        done = asyncio.Event()

        async def publish() -> None:
            for number in itertools.count(2):
                await publisher.closed(number)
                await publisher.forming(number + 1)
                await publisher.ticker(str(number))
                if done.is_set():
                    return

        async def join(turn: int) -> Client:
            async with client(up) as someone:
                for _ in range(6):
                    await someone.subscribe(BARS, PRICE, history=turn % 3 * 20)
                    seen: list[int] = []
                    for _ in range(15):
                        someone.clear()
                        await someone.until(lambda: someone.said("update"))
                        seen.append(int(price_of(someone)))
                    assert seen == sorted(seen)
                    opens = numbers(someone.view(BARS).closed)
                    assert opens == list(range(opens[0], opens[-1] + 1))
                    await someone.ask("unsubscribe", channels=[BARS, PRICE])
                return someone

        feed = asyncio.create_task(publish())
        try:
            await asyncio.gather(*map(join, range(6)))
        finally:
            done.set()
            await feed


def at(minute: int) -> int:
    return T0 + minute * MINUTE_MS


class TestResume:
    @pytest.fixture
    async def up(self, redis_server: EmbeddedServer, publisher: Publisher) -> AsyncIterator[Serving]:
        """With a log of the usual length: what is missed longer comes from the store."""
        async with begun(redis_server, publisher, closed_log=16) as found:
            yield found

    async def test_brings_exactly_what_was_missed_though_the_store_was_read_a_moment_ago(
        self, up: Serving, publisher: Publisher
    ) -> None:
        folder = Folder()
        async with client(up, folder) as someone:
            await someone.subscribe(BARS, history=50)
        for number in range(2, 30):
            await publisher.closed(number)
        await until(lambda: up.inside.market.get_or_create(SYMBOL).series["1m"].closed.end == 30, "the last bar")
        async with client(up, folder) as someone:
            # What was read then and what is in memory do not meet.
            await someone.subscribe(BARS, resume={BARS: folder.views[BARS].cursor})
            (snapshot,) = someone.said("snapshot")
            assert snapshot["recovered"] is True
            assert len(snapshot["klines"]) == 28
            assert numbers(someone.view(BARS).closed) == list(range(30))

    async def test_of_who_knows_more_waits_for_the_news_that_it_has(self, up: Serving, publisher: Publisher) -> None:
        # Another gateway has told it of bars that this one hears of only now.
        async with client(up) as someone:
            await someone.say({"op": "subscribe", "id": "ahead", "channels": [BARS], "resume": {BARS: at(3)}})
            for number in range(2, 6):
                await publisher.closed(number)
            # The answer comes once bar 3 is there; those after it come with it, or as updates.
            await someone.until(lambda: someone.said("snapshot") and numbers(someone.view(BARS).closed)[-1:] == [5])
            (snapshot,) = someone.said("snapshot")
            assert snapshot["recovered"] is True
            assert numbers(someone.view(BARS).closed) == [4, 5]

    @pytest.mark.parametrize("last", [5, 6])
    async def test_replaces_what_a_client_holds_where_that_changed_while_it_was_away(
        self, up: Serving, publisher: Publisher, last: int
    ) -> None:
        folder, log = Folder(), up.inside.market.get_or_create(SYMBOL).series["1m"].closed
        for number in range(2, last):
            await publisher.closed(number)
        async with client(up, folder) as someone:
            await someone.subscribe(BARS, history=50)
            await someone.until(lambda: numbers(someone.view(BARS).closed) == list(range(last)))
        await publisher.closed(4, "100 111 90 106")
        await until(lambda: list(log)[4].high == "111", "the correction")
        await publisher.closed(last)
        await until(lambda: len(log) == last + 1, "the next bar")
        async with client(up, folder) as someone:
            await someone.subscribe(BARS, resume={BARS: folder.views[BARS].cursor})
            snapshot = someone.said("snapshot")[0]
            assert snapshot["recovered"] is False
            assert [int(bar["openTime"]) for bar in snapshot["klines"]] == [at(number) for number in range(last + 1)]
            assert str(snapshot["klines"][4]["high"]) == "111"
        async with client(up, folder) as someone:
            await someone.subscribe(BARS, resume={BARS: folder.views[BARS].cursor})
            assert someone.said("snapshot")[0]["recovered"] is True, "it was told"

    async def test_while_the_source_is_away_is_to_be_tried_again(
        self, redis_server: EmbeddedServer, publisher: Publisher, up: Serving
    ) -> None:
        async with client(up) as someone:
            redis_server.kill()
            await up.fresh(503)
            answer = await someone.subscribe(BARS, PRICE, resume={BARS: at(3)})
            assert answer["channels"][BARS]["error"]["code"] == "UNAVAILABLE"
            assert "n" in answer["channels"][PRICE]
            redis_server.start()
            async with Publisher(redis_server) as back:
                for number in range(6):
                    await back.closed(number)
                await up.fresh()
                await someone.subscribe(BARS, resume={BARS: at(3)})
                (snapshot,) = [message for message in someone.said("snapshot") if message["channel"] == BARS]
                assert snapshot["recovered"] is True
                assert [int(bar["openTime"]) for bar in snapshot["klines"]] == [at(4), at(5)]

    async def test_of_who_has_missed_nothing_brings_nothing(self, up: Serving) -> None:
        folder = Folder()
        async with client(up, folder) as someone:
            await someone.subscribe(BARS, history=50)
        async with client(up, folder) as someone:
            await someone.subscribe(BARS, resume={BARS: folder.views[BARS].cursor})
            (snapshot,) = someone.said("snapshot")
            assert (snapshot["recovered"], snapshot["klines"]) == (True, [])
            assert numbers(someone.view(BARS).closed) == [0, 1]

    async def test_while_the_source_has_lost_what_it_had_is_to_be_tried_again(
        self, redis_server: EmbeddedServer, publisher: Publisher
    ) -> None:
        for number in range(30):
            await publisher.closed(number)
        config = make_config(redis_server, stream={"history_max": 50, "closed_log": 4})
        async with serving(config) as up, client(up) as someone, client(up) as other:
            # It is restarted empty, and the collector goes on before it has stored again what there was.
            await publisher._redis.flushall()
            for number in range(30, 40):
                event = kline_event(SYMBOL, "1m", kline(number, "100 110 90 105", closed=True))
                await publisher.publish(f"klines:{SYMBOL}:1m", event)
            log = up.inside.market.get_or_create(SYMBOL).series["1m"].closed
            await until(lambda: log.last and log.last.open_time_ms == at(39), "the closes")
            answer = await someone.subscribe(BARS, resume={BARS: at(20)})
            assert answer["channels"][BARS]["error"]["code"] == "UNAVAILABLE"
            await other.subscribe(BARS, resume={BARS: at(37)})
            assert [int(bar["openTime"]) for bar in other.said("snapshot")[0]["klines"]] == [at(38), at(39)]
            for number in range(40):
                await publisher.closed(number, reported=False)
            await someone.subscribe(BARS, resume={BARS: at(20)})
            (snapshot,) = someone.said("snapshot")
            assert snapshot["recovered"] is True
            assert [int(bar["openTime"]) for bar in snapshot["klines"]] == [at(number) for number in range(21, 40)]

    async def test_of_who_was_away_too_long_replaces_what_it_has(self, up: Serving) -> None:
        async with client(up) as someone:
            await someone.subscribe(BARS, history=50, resume={BARS: T0 - 100 * MINUTE_MS})
            (snapshot,) = someone.said("snapshot")
            assert snapshot["recovered"] is False
            assert numbers(someone.view(BARS).closed) == [0, 1]

    @pytest.mark.parametrize("cursor", [T0 - 100 * MINUTE_MS, T0 + 10**11], ids=["too old", "of the future"])
    async def test_that_cannot_be_answered_brings_what_is_kept_also_without_history(
        self, up: Serving, cursor: int
    ) -> None:
        async with client(up) as someone:
            await someone.subscribe(BARS, resume={BARS: cursor})
            (snapshot,) = someone.said("snapshot")
            assert snapshot["recovered"] is False
            assert numbers(someone.view(BARS).closed) == [0, 1]

    async def test_survives_a_restart_of_the_gateway(self, redis_server: EmbeddedServer, publisher: Publisher) -> None:
        folder = Folder()
        config = make_config(redis_server)
        await publisher.closed(0)
        async with serving(config) as up, client(up, folder) as someone:
            await someone.subscribe(BARS, history=50)
        for number in range(1, 9):
            await publisher.closed(number)
        async with serving(config) as up, client(up, folder) as someone:
            await someone.subscribe(BARS, history=50, resume={BARS: folder.views[BARS].cursor})
            assert someone.said("snapshot")[0]["recovered"] is True
            assert numbers(someone.view(BARS).closed) == list(range(9))


class TestFeed:
    @pytest.mark.parametrize(
        ("channel", "payload", "reason"),
        [
            (PRICE, "{", "bad_json"),
            (PRICE, "[]", "not_an_object"),
            (PRICE, '{"c":"abc"}', "not_a_number"),
            (PRICE, '{"s":"ETHUSDT","c":"1"}', "symbol_mismatch"),
            (f"klines:{SYMBOL}:1m", "{}", "missing_field"),
            (f"klines:{SYMBOL}:1m", '{"t":1732320000001}', "misaligned_time"),
        ],
    )
    async def test_what_cannot_be_used_is_counted_and_skipped(
        self, up: Serving, publisher: Publisher, channel: str, payload: str, reason: str
    ) -> None:
        async with client(up) as someone:
            await someone.subscribe(PRICE)
            await publisher.publish(channel, payload)
            await publisher.ticker("777")
            await someone.until(lambda: price_of(someone) == "777")
            assert await up.metric(f'gateway_feed_errors_total{{reason="{reason}"}}') == 1

    async def test_a_kline_that_was_corrected_is_sent_anew(self, up: Serving, publisher: Publisher) -> None:
        async with client(up) as someone:
            await someone.subscribe(BARS, history=50)
            await publisher.closed(1, "100 110 90 99", event_time_ms=T0 + 10 * MINUTE_MS)
            await someone.until(lambda: someone.view(BARS).resyncs == 1)
            assert someone.view(BARS).closed[1].close == "99"

    async def test_a_kline_whose_message_was_lost_is_read_from_the_store(
        self, up: Serving, publisher: Publisher
    ) -> None:
        async with client(up) as someone:
            await someone.subscribe(BARS, history=50)
            await publisher.closed(2, reported=False)
            await publisher.closed(3)
            await someone.until(lambda: numbers(someone.view(BARS).closed) == [0, 1, 2, 3])
            assert await up.metric("gateway_repaired_klines_total") >= 1


async def test_history_over_http_ends_where_the_stream_goes_on(up: Serving, publisher: Publisher) -> None:
    async with client(up) as someone:
        await someone.subscribe(BARS)
        await publisher.closed(2)
        await someone.until(lambda: numbers(someone.view(BARS).closed) == [2])
        answer = await up.get(f"/v1/klines?symbol={SYMBOL}&interval=1m&limit=10")
        assert [(kline["openTime"] - T0) // MINUTE_MS for kline in answer.json()["klines"]] == [0, 1, 2]
