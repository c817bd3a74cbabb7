"""A gateway that is started with few file descriptors. Linux only: `ulimit` of a real process."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect

from tests.integration.live import Serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.server import EmbeddedServer

CLIENTS = 120


async def test_a_low_soft_limit_is_raised_so_that_all_clients_are_served_and_a_reload_keeps_what_fits(
    redis_server: EmbeddedServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    command = (
        f"ulimit -Sn 64; ulimit -Hn 4096; exec {sys.executable} -m gateway serve --port 0 --redis {redis_server.url}"
    )
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=stderr
        )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        at = Serving(line.split()[-1])
        clients = await asyncio.gather(
            *(connect(f"ws://127.0.0.1:{at.port}/v1/stream", compression=None) for _ in range(CLIENTS))
        )
        assert (await at.get("/healthz")).status_code == 200
        process.send_signal(signal.SIGHUP)
        await until(lambda: "settings read again; changed: nothing" in log.read_text(), "the settings to be read again")
        await asyncio.gather(*(client.close() for client in clients))
    finally:
        process.terminate()
        await process.wait()
    assert "the limit of 4096 open files leaves room for 4032 of 20000 connections" in log.read_text()
