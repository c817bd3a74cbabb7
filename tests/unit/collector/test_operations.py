"""What a collector tells operators, for a collection that is put into each state by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from collector.exchange import ExchangeStatus
from collector.exchanges import make_exchange
from collector.operations import SILENT_S, reasons, routes
from collector.run import make_collection
from gateway.config import CollectConfig, Config

if TYPE_CHECKING:
    from collector.collection import Collection

WELL = ExchangeStatus(connections=2, connected=2, lost=1, refused={"bad_json": 3}, weight_used=40)


@pytest.fixture
def collection(monkeypatch: pytest.MonkeyPatch) -> Collection:
    """One that writes what the exchange says."""
    wanted = CollectConfig(symbols=("BTCUSDT",), top=0)
    made = make_collection(Config(collect=wanted), make_exchange(wanted))
    monkeypatch.setattr(made.exchange, "status", lambda: WELL)
    made.writer.connected.set()
    made.stored.set()
    return made


async def got(collection: Collection, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=Starlette(routes=routes(collection)))
    async with httpx.AsyncClient(transport=transport, base_url="http://collector") as http:
        return await http.get(path)


async def test_a_collector_that_writes_is_ready(collection: Collection) -> None:
    answer = await got(collection, "/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})


def test_redis_that_cannot_be_written_is_a_reason(collection: Collection) -> None:
    collection.writer.connected.clear()
    assert reasons(collection) == ["redis"]


@pytest.mark.parametrize("connected", [0, 1])
def test_a_missing_connection_to_the_exchange_is_a_reason(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, connected: int
) -> None:
    monkeypatch.setattr(collection.exchange, "status", lambda: WELL._replace(connected=connected))
    assert reasons(collection) == ["exchange"]


def test_an_exchange_that_says_nothing_is_a_reason(collection: Collection) -> None:
    collection.last_event_s -= SILENT_S + 1
    assert reasons(collection) == ["silent"]


def test_a_history_that_is_not_stored_yet_is_a_reason(collection: Collection) -> None:
    collection.stored.clear()
    assert reasons(collection) == ["loading"]


async def test_one_that_is_not_ready_answers_503_and_still_lives(collection: Collection) -> None:
    collection.writer.connected.clear()
    assert (await got(collection, "/readyz")).status_code == 503
    assert (await got(collection, "/healthz")).status_code == 200


async def test_the_status_tells_how_the_exchange_is_doing(collection: Collection) -> None:
    exchange = (await got(collection, "/v1/status")).json()["exchange"]
    assert (exchange["name"], exchange["lost"], exchange["refused"]) == ("binance", 1, {"bad_json": 3})


async def test_metrics_are_read_by_prometheus(collection: Collection) -> None:
    collection.writer.counts.commands = 7
    text = (await got(collection, "/metrics")).text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["collector_ready",] == 1
    assert samples["collector_redis_commands_total",] == 7
    assert samples["collector_exchange_refused_total", "bad_json"] == 3
    assert samples["collector_exchange_weight_used",] == 40
