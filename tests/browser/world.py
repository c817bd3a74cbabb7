"""A running gateway with everything around it: a Redis-compatible server, a collector, each a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import click
import httpx

from simulator.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Mapping

INTERVALS = ("1s", "1m", "5m")
PLACE = re.compile(r"http://[\d.]+:\d+")
_START_S = 20.0
_SYMBOL_S = 0.5
"""Longer for each symbol, whose past is made up first."""
_STOP_S = 10.0


class World:
    """Started as a user would start it, on free ports; stopped in the order that leaves nothing behind."""

    def __init__(
        self,
        *,
        symbols: int = 8,
        rate: float = 8.0,
        collect: bool = True,
        origins: str = "self",
        token: str = "",
        workers: int = 1,
        key: str = "",
        rolled_up: str = "",
        docs: bool = False,
    ) -> None:
        """`origins`: of the pages that may open streams. `token`: what the operations surface asks for. `key`: what
        everything but health and page asks for. `rolled_up`: an interval that the collector does not write.
        `docs`: serve the documentation.
        """
        self.redis = EmbeddedServer()
        self._symbols = symbols
        self._rate = rate
        self._collect = collect
        self._origins = origins
        self._token = token
        self._workers = workers
        self._key = key
        self._docs = docs
        self._intervals = (*INTERVALS, rolled_up) if rolled_up else INTERVALS
        self._collector: subprocess.Popen[str] | None = None
        self._gateway: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self.redis.start()
            if self._collect:
                self.start_collector()
            self.start_gateway()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._gateway, self._collector):
            if process is not None:
                ended(process)
        self.redis.stop()

    def stop_gateway(self) -> None:
        assert self._gateway is not None
        ended(self._gateway)

    def start_gateway(self) -> None:
        """The first time on a free port, later on the same one, as a deployment does."""
        port = urlsplit(self.url).port or 0
        environment = {
            "GATEWAY_MARKET__INTERVALS": ",".join(self._intervals),
            "GATEWAY_ACCESS__ORIGINS": self._origins,
            "GATEWAY_OPERATIONS__TOKEN": self._token,
            "GATEWAY_SERVER__WORKERS": str(self._workers),
            "GATEWAY_HTTP__DOCS": str(self._docs).lower(),
            # Which markets there are is known at once.
            "GATEWAY_MARKET__UNKNOWN_AFTER_S": "0",
        }
        if self._key:
            environment["GATEWAY_TOKENS__REQUIRED"] = "true"
            environment["GATEWAY_TOKENS__API_KEYS"] = f"page:{sha256(self._key.encode()).hexdigest()}"
        self._gateway = started("serve", "--port", str(port), "--redis", self.redis.url, environment=environment)
        assert self._gateway.stdout is not None
        line = self._gateway.stdout.readline()
        found = PLACE.search(line)
        if found is None:
            raise RuntimeError(f"the gateway did not say where it serves but {line!r}; its words are above")
        self.url = f"{found[0]}/"
        self._until_ready()

    def stop_collector(self) -> None:
        assert self._collector is not None
        ended(self._collector)

    def start_collector(self, symbols: int | None = None) -> None:
        self._collector = started(
            "simulate",
            *("--redis", self.redis.url, "--symbols", str(symbols or self._symbols), "--rate", str(self._rate)),
            *("--intervals", ",".join(INTERVALS)),
        )

    def freeze_market(self) -> None:
        """The collector stops in its tracks: from now on nothing is news."""
        assert self._collector is not None
        self._collector.send_signal(signal.SIGSTOP)

    def thaw_market(self) -> None:
        assert self._collector is not None
        self._collector.send_signal(signal.SIGCONT)

    def klines(self, symbol: str, interval: str, limit: int = 500) -> list[dict[str, Any]]:
        """What the gateway itself answers."""
        answer = self._get("v1/klines", symbol=symbol, interval=interval, limit=limit)
        klines: list[dict[str, Any]] = answer.raise_for_status().json()["klines"]
        return klines

    def symbols(self) -> list[str]:
        symbols: list[str] = self._get("v1/symbols").raise_for_status().json()["symbols"]
        return symbols

    def _get(self, path: str, **query: str | int) -> httpx.Response:
        headers = {"x-api-key": self._key} if self._key else {}
        return httpx.get(self.url + path, params=query, headers=headers, timeout=5)

    def _until_ready(self) -> None:
        """Up, and where there is a market: fed with all of it."""
        patience_s = _START_S + _SYMBOL_S * self._symbols
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if self._collector is None:
                if httpx.get(f"{self.url}healthz", timeout=5).status_code == 200:
                    return
            elif (
                httpx.get(f"{self.url}v1/health/data", timeout=5).status_code == 200
                and len(self.symbols()) == self._symbols
            ):
                return
            time.sleep(0.1)
        raise RuntimeError(f"the gateway was not ready within {patience_s:g} s")


def started(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """A command of the gateway, as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
    )


def ended(process: subprocess.Popen[str]) -> None:
    """End it as an operator would, and at last by force."""
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.communicate(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@click.command()
@click.option("--symbols", default=8)
@click.option("--rate", default=8.0, help="Updates a second of each symbol.")
def main(symbols: int, rate: float) -> None:
    """For tests in another language: says where the gateway serves, then obeys a word a line until the input ends."""
    with World(symbols=symbols, rate=rate) as world:
        click.echo(world.url)
        for line in sys.stdin:
            {"stop": world.stop_gateway, "start": world.start_gateway}[line.strip()]()
            click.echo("done")


if __name__ == "__main__":
    main()
