"""Collecting an exchange through ccxt's own client, from an exchange that speaks OKX's protocol, into a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import websockets
from redis.asyncio import Redis

from gateway.config import LimitsConfig
from simulator.server import EmbeddedServer
from tests.integration.live import make_config, serving
from tests.integration.okx import Okx
from tests.integration.running import running as binance_like

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.model.kline import Kline

ROOT = Path(__file__).resolve().parents[2]
PYTHON = str(ROOT / ".venv" / "collect" / "bin" / "python")
# The clock runs so much faster that a busy machine is seconds late in a moment.
pytestmark = pytest.mark.alone

WAIT_S = 40.0
SPEED = 30.0


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with ccxt, in which warnings are errors; ended by SIGTERM. It must have said nothing bad."""
    if not os.access(PYTHON, os.X_OK):
        pytest.fail("ccxt is not set up: make .venv/collect.stamp")
    running = await asyncio.create_subprocess_exec(
        *(PYTHON, "-W", "error", *arguments),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield running
    except BaseException:
        if running.returncode is None:
            running.kill()
        sys.stderr.write((await running.communicate())[0].decode())
        raise
    if running.returncode is None:
        running.terminate()
    said = (await asyncio.wait_for(running.communicate(), WAIT_S))[0].decode()
    for bad in ("Traceback", "Warning:", "was never retrieved", "was destroyed but it is pending", "Unclosed"):
        assert bad not in said, said
    assert running.returncode == 0, said


@asynccontextmanager
async def fast(okx: Okx, server: EmbeddedServer, symbols: str) -> AsyncIterator[None]:
    """A collector whose clock is that of the exchange."""
    arguments = okx.url, server.url, symbols, "1m,5m", str(okx.speed), str(okx.begin_s)
    async with process("tests/integration/fast_collector.py", *arguments):
        yield


@asynccontextmanager
async def command(okx: Okx, redis_url: str, *arguments: str) -> AsyncIterator[None]:
    """`gateway collect` of that exchange."""
    addresses = ("--rest-url", f"http://{okx.url}", "--stream-url", f"ws://{okx.url}")
    async with process("-m", "gateway", "collect", "--exchange", "okx", "--redis", redis_url, *addresses, *arguments):
        yield


Published = dict[tuple[str, str], list[dict[str, Any]]]


@asynccontextmanager
async def hearing(link: Redis) -> AsyncIterator[Published]:
    """What is published as closed, by symbol and interval, in order."""
    published: Published = {}

    async def listen() -> None:
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                kline = json.loads(message["data"])["k"]
                if kline["x"]:
                    published.setdefault((kline["s"], kline["i"]), []).append(kline)

    async with link.pubsub() as pubsub:
        await pubsub.psubscribe("klines:*")
        listening = asyncio.create_task(listen())
        try:
            yield published
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def values(kline: Kline) -> tuple[int, str, str, str, str, str]:
    return kline.open_time_ms, kline.open, kline.high, kline.low, kline.close, kline.volume


async def stored(link: Redis, symbol: str, interval: str) -> list[tuple[Any, ...]]:
    """The klines of a series in Redis, oldest first, each as `values`.

    One that was closed by the clock is there twice once the exchange has confirmed it: what is confirmed counts.
    """
    members: Any = await link.zrange(f"klines:{symbol}:{interval}", 0, -1)
    klines = sorted(map(json.loads, members), key=lambda kline: (kline["t"], not kline.get("provisional")))
    newest = {kline["t"]: tuple(kline[letter] for letter in "tohlcv") for kline in klines}
    return list(newest.values())


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until what the condition awaits is true."""
    async with asyncio.timeout(WAIT_S):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def in_redis(link: Redis, okx: Okx, symbol: str, interval: str) -> None:
    """Wait until Redis has exactly what has closed by now, or a little later."""

    async def same() -> bool:
        wanted = [values(kline) for kline in okx.closed[symbol, interval]][-400:]
        return (await stored(link, symbol, interval))[-400:] == wanted

    await until(same, f"{symbol} {interval}")


async def closes(okx: Okx, symbol: str, count: int, interval: str = "1m") -> None:
    """Wait until so many klines more have closed at the exchange."""
    wanted = len(okx.closed[symbol, interval]) + count

    async def there() -> bool:
        return len(okx.closed[symbol, interval]) >= wanted

    await until(there, symbol)


async def test_klines_in_redis_are_those_of_the_exchange_each_closed_once_and_in_order() -> None:
    okx = Okx(["BTCUSDT", "ETHUSDT"], ["1m", "5m"], speed=SPEED)
    async with EmbeddedServer() as server, okx.serving(), Redis.from_url(server.url) as link:  # noqa: SIM117
        async with hearing(link) as closed, fast(okx, server, "BTC/USDT,ETHUSDT"):
            await in_redis(link, okx, "BTCUSDT", "5m")
            await closes(okx, "BTCUSDT", 6)
            for symbol in ("BTCUSDT", "ETHUSDT"):
                for interval in ("1m", "5m"):
                    await in_redis(link, okx, symbol, interval)
            ticker = json.loads(await link.get("ticker:BTCUSDT") or "{}")
            assert {"s", "c", "o", "h", "l", "v", "q", "b", "a"} <= ticker.keys()
    for (symbol, interval), published in closed.items():
        opened = [kline["t"] for kline in published]
        assert opened == sorted(set(opened)), (symbol, interval)
        assert not any(kline.get("provisional") for kline in published)
    assert len(closed["BTCUSDT", "1m"]) >= 6


async def test_what_closed_while_the_connection_was_cut_is_asked_for() -> None:
    okx = Okx(["BTCUSDT"], ["1m", "5m"], speed=SPEED)
    async with EmbeddedServer() as server, okx.serving(), Redis.from_url(server.url) as link:  # noqa: SIM117
        async with hearing(link) as closed, fast(okx, server, "BTCUSDT"):
            await in_redis(link, okx, "BTCUSDT", "5m")
            connects = okx.connects
            okx.refusing = True
            okx.cut()
            await closes(okx, "BTCUSDT", 3)
            okx.refusing = False
            await closes(okx, "BTCUSDT", 2)
            await in_redis(link, okx, "BTCUSDT", "1m")
            assert okx.connects > connects
    confirmed = [kline["t"] for kline in closed["BTCUSDT", "1m"] if not kline.get("provisional")]
    assert confirmed == sorted(set(confirmed))


@pytest.mark.long
async def test_minutes_without_a_trade_have_no_kline_and_hold_nothing_up() -> None:
    okx = Okx(["BTCUSDT", "ETHUSDT"], ["1m", "5m"], speed=SPEED, quiet=["ETHUSDT"])
    async with EmbeddedServer() as server, okx.serving(), Redis.from_url(server.url) as link:  # noqa: SIM117
        async with fast(okx, server, "BTCUSDT,ETHUSDT"):
            await closes(okx, "ETHUSDT", 4)
            await in_redis(link, okx, "ETHUSDT", "1m")
            opened = [row[0] for row in await stored(link, "ETHUSDT", "1m")]
            assert any(later - earlier > 60_000 for earlier, later in pairwise(opened))


def ahead_of_a_close_ms(seconds: float) -> int:
    """How far ahead a clock is by which a minute ends in so many seconds."""
    return int((60 - seconds - time.time() % 60) * 1000)


@pytest.mark.long
async def test_a_kline_closes_by_the_stream_alone_when_the_next_one_begins_by_the_clock_of_the_exchange() -> None:
    okx = Okx(["BTCUSDT"], ["1m"], ahead_ms=ahead_of_a_close_ms(10))
    async with EmbeddedServer() as server, okx.serving(), Redis.from_url(server.url) as link:  # noqa: SIM117
        async with hearing(link) as closed, command(okx, server.url, "--symbols", "BTC/USDT", "--intervals", "1m"):
            await in_redis(link, okx, "BTCUSDT", "1m")
            questions = len(okx.questions)
            await closes(okx, "BTCUSDT", 1)
            await in_redis(link, okx, "BTCUSDT", "1m")
            assert not [question for question in okx.questions[questions:] if "candles" in question]
            last_ms = okx.closed["BTCUSDT", "1m"][-1].open_time_ms
            assert [kline["t"] for kline in closed["BTCUSDT", "1m"]].count(last_ms) == 1


async def test_two_exchanges_share_a_redis_and_a_gateway_under_names_of_their_own() -> None:
    okx = Okx(["BTCUSDT"], ["1m", "1h"])
    # A gateway speaks Binance's protocol: to a collector it is one.
    async with (
        binance_like(limits=LimitsConfig(http_per_min=6000, http_burst=6000)) as binance,
        EmbeddedServer() as server,
        okx.serving(),
        Redis.from_url(server.url) as link,
    ):
        native = (
            *("--exchange", "binance", "--rest-url", str(binance.http.base_url).rstrip("/")),
            *("--stream-url", str(binance.http.base_url).rstrip("/").replace("http", "ws", 1)),
        )
        pairs = ("--symbols", "BTCUSDT", "--intervals", "1m,1h")
        config = make_config(server, market={"intervals": ["1m", "1h"]})
        async with (
            process("-m", "gateway", "collect", "--redis", server.url, *native, *pairs),
            command(okx, server.url, *pairs, "--symbol", "{base}{quote}.OKX"),
            serving(config, ready=False) as gateway,
            httpx.AsyncClient(base_url=gateway.address, timeout=WAIT_S) as http,
        ):
            members = [json.loads(member) for member in binance.stored("BTCUSDT", "1m")]
            truth = {
                "BTCUSDT": [tuple(kline[letter] for letter in "tohlcv") for kline in members],
                "BTCUSDT.OKX": [values(kline) for kline in okx.closed["BTCUSDT", "1m"]],
            }
            for name, klines in truth.items():

                async def all_there(name: str = name, klines: Any = klines) -> bool:
                    return set(klines[-400:]) <= set(await stored(link, name, "1m"))

                await until(all_there, name)
            await heard(gateway.address, {f"ticker:{name}" for name in truth})
            for name, klines in truth.items():
                answer = await http.get("/v1/klines", params={"symbol": name, "interval": "1m", "limit": 50})
                served = {
                    kline["openTime"]: kline["volume"] for kline in json.loads(answer.text, parse_float=str)["klines"]
                }
                assert [volume for _, *_, volume in klines[-40:]] == [
                    served[opened_ms] for opened_ms, *_ in klines[-40:]
                ]


async def heard(address: str, channels: set[str]) -> None:
    """Subscribe to channels of a gateway and wait until each has had an update."""
    updated: set[int] = set()
    async with asyncio.timeout(WAIT_S), websockets.connect(f"{address.replace('http', 'ws', 1)}/v1/stream") as client:
        await client.send(json.dumps({"op": "subscribe", "channels": sorted(channels)}))
        while len(updated) < len(channels):
            message = json.loads(await client.recv())
            updated |= {number for number, _ in message.get("u", ())}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--exchange", "okk"], "did you mean 'okx'?"),
        pytest.param(["--exchange", "bitstamp"], "no stream of prices", marks=pytest.mark.long),
        (["--exchange", "coinbase"], "coinbase has no 4h; it has 1m, 5m"),
        pytest.param(["--exchange", "okx:options"], "expected okx (spot) or okx:swap", marks=pytest.mark.long),
        pytest.param(["--exchange", "grvt"], "name them (collect.symbols)", marks=pytest.mark.long),
    ],
    ids=["unknown", "too little", "interval", "kind", "no turnover"],
)
@pytest.mark.varied
async def test_what_cannot_be_collected_is_refused_in_a_sentence(arguments: list[str], said: str) -> None:
    code, text = await answer_of(PYTHON, *arguments)
    assert code == 2
    assert said in text


@pytest.mark.long
async def test_what_an_exchange_lacks_is_said_without_asking_it() -> None:
    code, text = await answer_of(PYTHON, "--exchange", "kraken", "--check")
    assert code == 0
    assert "lacks: no closed flag" in text
    assert "intervals: 1m, 5m" in text


async def test_without_the_library_it_is_said_how_to_install_it() -> None:
    code, text = await answer_of(sys.executable, "--exchange", "okx")
    assert code == 2
    assert 'pip install "kline-gateway[collect]"' in text


async def answer_of(python: str, *arguments: str) -> tuple[int | None, str]:
    """Exit code and words of `gateway collect`."""
    running = await asyncio.create_subprocess_exec(
        *(python, "-W", "error", "-m", "gateway", "collect", *arguments),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(running.communicate(), WAIT_S)
    return running.returncode, said.decode()
