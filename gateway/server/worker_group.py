"""One worker's place among several processes on one port: what it shares with them, and how it asks them.

Workers speak to each other over sockets in Linux' abstract namespace: nothing is left on a disk, and a worker that has
ended refuses at once. Who asks bears the crew's secret and makes sure that it is its own user who listens.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec
from msgspec import Struct, structs

from gateway.ops.logs import add_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Config

ANSWER_S = 0.5
"""Longest a worker is waited for: half of what a load balancer's probe usually waits for the whole."""


class WorkerGroupError(Exception):
    """A worker does not answer; the message says why."""


class Answer(NamedTuple):
    status: int
    body: bytes


class WorkerGroup(Struct, frozen=True):
    """`number` of `count`, from 1. All but the number is the same for all of a crew."""

    number: int
    count: int
    name: str
    secret: str

    @classmethod
    def gather(cls, count: int) -> list[Self]:
        """The places of a new crew."""
        name, secret = f"kline-gateway-{secrets.token_hex(8)}", secrets.token_hex(32)
        return [cls(number, count, name, secret) for number in range(1, count + 1)]

    def share(self, config: Config) -> Config:
        """What all workers may do together, divided; what one client may do is not: each client is one worker's."""
        stream, limits = config.stream, config.limits
        return structs.replace(
            config,
            server=structs.replace(config.server, reuse_port=True),
            stream=structs.replace(stream, max_connections=self._part(stream.max_connections)),
            limits=structs.replace(
                limits,
                handshakes_per_s=limits.handshakes_per_s / self.count,
                handshakes_burst=self._part(limits.handshakes_burst),
            ),
        )

    def bind(self) -> socket.socket:
        """The socket at which the others ask this one."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(self._address(self.number))
        return sock

    async def ask(self, number: int, path: str, within_s: float = ANSWER_S) -> Answer:
        """What worker `number` answers to a GET; raises `CrewError`."""
        try:
            async with asyncio.timeout(within_s):
                return await self._get(number, path)
        except TimeoutError as error:
            raise WorkerGroupError("no answer in time") from error
        except OSError as error:
            raise WorkerGroupError(error.strerror or str(error)) from error

    async def ask_all(
        self, path: str, within_s: float = ANSWER_S, numbers: Sequence[int] | None = None
    ) -> dict[int, Answer | WorkerGroupError]:
        """What each worker answers, or each of `numbers`."""
        numbers = range(1, self.count + 1) if numbers is None else numbers
        asked = (self.ask(number, path, within_s) for number in numbers)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        found: dict[int, Answer | WorkerGroupError] = {}
        for number, answer in zip(numbers, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, WorkerGroupError):
                raise answer
            found[number] = answer
        return found

    async def _get(self, number: int, path: str) -> Answer:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            # Local: it is there at once, or not at all.
            sock.connect(self._address(number))
            if struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1] != os.geteuid():
                raise WorkerGroupError("another user listens at its address")
        except BaseException:
            sock.close()
            raise
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n"
                f"authorization: Bearer {self.secret}\r\n\r\n".encode()
            )
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if not head.startswith(b"HTTP/1.1 "):
            raise WorkerGroupError("ended in the middle of its answer")
        return Answer(int(head[9:12]), body)

    def _address(self, number: int) -> str:
        return f"\0{self.name}-{number}"

    def _part(self, number: int) -> int:
        return -(-number // self.count)


def join() -> WorkerGroup:
    """The place that the supervisor tells a worker on its standard input. Its lines in the log say it from now on."""
    worker_group = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkerGroup)
    add_fields(worker=worker_group.number)
    return worker_group


def end_with_supervisor() -> None:
    """The supervisor holds the other end of our standard input: when it has gone, nobody would end this process."""
    loop, told = asyncio.get_running_loop(), sys.stdin.fileno()

    def gone() -> None:
        loop.remove_reader(told)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(told, gone)
