"""One worker's membership in a group of processes on one port: its share of the limits, and requests to the others.

Workers connect to each other over sockets in Linux' abstract namespace: no file remains, and the socket of a worker
that has ended refuses at once. A request carries the group's secret, and only to a socket of the same user.
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
"""Longest wait for a worker's answer: half the usual timeout of a load balancer's probe."""


class WorkerGroupError(Exception):
    """A worker does not answer; the message says why."""


class Answer(NamedTuple):
    """The HTTP status and body of a worker's answer."""

    status: int
    body: bytes


class WorkerGroup(Struct, frozen=True):
    """Worker `number` of `count`, from 1. The other fields are equal for all workers of a group."""

    number: int
    count: int
    name: str
    secret: str

    @classmethod
    def create(cls, count: int) -> list[Self]:
        """The members of a new group of `count` workers."""
        name, secret = f"kline-gateway-{secrets.token_hex(8)}", secrets.token_hex(32)
        return [cls(number, count, name, secret) for number in range(1, count + 1)]

    def share(self, config: Config) -> Config:
        """This worker's settings: limits on all clients together are divided, limits on one client are not."""
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
        """The socket at which this worker answers the others."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(self._address(self.number))
        return sock

    async def ask(self, number: int, path: str, within_s: float = ANSWER_S) -> Answer:
        """GET a path of worker `number`; raises `WorkerGroupError` without an answer in `within_s`."""
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
        """GET a path of all workers, or of those with `numbers`; errors take the place of missing answers."""
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
            # A local socket: connects or fails at once.
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
            raise WorkerGroupError("it ended before its answer was complete")
        return Answer(int(head[9:12]), body)

    def _address(self, number: int) -> str:
        return f"\0{self.name}-{number}"

    def _part(self, number: int) -> int:
        return -(-number // self.count)


def join() -> WorkerGroup:
    """Read this worker's membership from standard input, and add its number to its log lines."""
    worker_group = msgspec.json.decode(sys.stdin.buffer.readline(), type=WorkerGroup)
    add_fields(worker=worker_group.number)
    return worker_group


def end_with_supervisor() -> None:
    """End this process when the supervisor ends, which holds the other end of standard input."""
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def end() -> None:
        loop.remove_reader(stdin)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(stdin, end)
