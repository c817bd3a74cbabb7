"""A real Prometheus over the files in `deploy/`, hurried: it looks five times a second and waits for nothing."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import shutil
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
WINDOW = "2s"
SCRAPE = "200ms"
WAIT_S = 20.0


def program(name: str) -> str:
    """Its path. Without one the test is left out, but not in CI."""
    if found := shutil.which(name):
        return found
    message = f"{name} was not found (Debian: apt-get install prometheus)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def dashboard_queries() -> list[tuple[str, str]]:
    """Title and query of every curve and number on the dashboard, its variables filled in."""
    board = json.loads((DEPLOY / "grafana/dashboards/gateway.json").read_text())
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", WINDOW).replace("$instance", ".*"))
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]


def alert_names() -> set[str]:
    return set(re.findall(r"alert: (\w+)", (DEPLOY / "prometheus/rules.yml").read_text()))


@dataclass
class Prometheus:
    http: httpx.AsyncClient
    seen: set[str] = field(default_factory=set)
    """Alerts that were waited for, and came."""

    async def query(self, expression: str) -> list[float]:
        """The values now, those that are numbers."""
        answer = (await self.http.get("/api/v1/query", params={"query": expression})).json()
        assert answer["status"] == "success", (expression, answer)
        values = [float(sample["value"][1]) for sample in answer["data"]["result"]]
        return [value for value in values if math.isfinite(value)]

    async def firing(self) -> set[str]:
        alerts = (await self.http.get("/api/v1/alerts")).json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    async def until_firing(self, name: str) -> None:
        await self._until(name, True)
        self.seen.add(name)

    async def until_clear(self, name: str) -> None:
        await self._until(name, False)

    async def _until(self, name: str, wanted: bool) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while (name in (firing := await self.firing())) != wanted:
            assert time.monotonic() < deadline_s, f"{name} is {'not ' if wanted else ''}firing: {firing}"
            await asyncio.sleep(0.1)


@asynccontextmanager
async def prometheus(folder: Path, gateway_port: int) -> AsyncIterator[Prometheus]:
    """Follows a gateway by `deploy/prometheus`, with every duration shortened."""
    settings = (DEPLOY / "prometheus/prometheus.yml").read_text()
    (folder / "prometheus.yml").write_text(
        re.sub(r"_interval: \w+", f"_interval: {SCRAPE}", settings).replace("gateway:8000", f"127.0.0.1:{gateway_port}")
    )
    for name in ("rules.yml", "collector_rules.yml"):
        rules = re.sub(r"\[\d+m\]", f"[{WINDOW}]", (DEPLOY / "prometheus" / name).read_text())
        (folder / name).write_text(re.sub(r"for: \w+", f"for: {SCRAPE}", rules))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (folder / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=WAIT_S) as http:
            found = Prometheus(http)
            await _ready(found)
            yield found
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def _ready(found: Prometheus) -> None:
    """Wait until it has seen the gateway; why it has not is in its log, beside its settings."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        try:
            if await found.query("up == 1"):
                return
        except (httpx.TransportError, ValueError):
            # Not there yet, or not ready to answer a query.
            pass
        assert time.monotonic() < deadline_s, "it has not seen the gateway"
        await asyncio.sleep(0.1)
