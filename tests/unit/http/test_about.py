"""Whose data a gateway says that it shows."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from gateway.config import AttributionConfig
from gateway.http import about


async def got(attribution: AttributionConfig) -> httpx.Response:
    transport = httpx.ASGITransport(app=Starlette(routes=about.routes(attribution, "1.2.3")))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        return await http.get("/v1/about")


async def test_the_source_of_the_data_is_named_where_it_is_configured() -> None:
    answer = await got(AttributionConfig(name="Binance", url="https://b.example", terms="https://b.example/terms"))
    assert answer.json() == {
        "version": "1.2.3",
        "data": {"name": "Binance", "url": "https://b.example", "terms": "https://b.example/terms"},
    }


@pytest.mark.parametrize("url", ["", "https://b.example"])
async def test_without_a_name_nothing_is_said_of_the_source(url: str) -> None:
    assert (await got(AttributionConfig(url=url))).json() == {"version": "1.2.3", "data": None}
