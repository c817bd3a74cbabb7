"""A worker's share of the limits, and requests between workers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.config import Config, LimitsConfig, StreamConfig
from gateway.ops.logs import TextFormatter
from gateway.server.worker_group import Answer, WorkerGroup, WorkerGroupError, end_with_supervisor, join

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class TestShare:
    CONFIG = Config(
        stream=StreamConfig(max_connections=20_001),
        limits=LimitsConfig(handshakes_per_s=900, handshakes_burst=10, connections_per_ip=5, http_burst=7),
    )

    def test_limits_on_all_clients_are_divided_and_rounded_up(self) -> None:
        shared = WorkerGroup.create(4)[0].share(self.CONFIG)
        assert shared.stream.max_connections == 5001
        assert shared.limits.handshakes_per_s == 225
        assert shared.limits.handshakes_burst == 3

    def test_limits_on_one_client_are_not_divided(self) -> None:
        shared = WorkerGroup.create(4)[3].share(self.CONFIG)
        assert (shared.limits.connections_per_ip, shared.limits.http_burst) == (5, 7)

    def test_the_port_is_shared(self) -> None:
        assert WorkerGroup.create(2)[0].share(self.CONFIG).server.reuse_port


def test_members_differ_by_number_and_groups_by_name_and_secret() -> None:
    first, second = WorkerGroup.create(2)
    assert (first.number, second.number, first.count) == (1, 2, 2)
    assert (first.name, first.secret) == (second.name, second.secret)
    other = WorkerGroup.create(2)[0]
    assert other.name != first.name
    assert other.secret != first.secret


def test_a_worker_reads_its_membership_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    member = WorkerGroup.create(3)[2]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(msgspec.json.encode(member) + b"\nrest")))
    plain = logging.getLogRecordFactory()
    try:
        assert join() == member
        record = logging.getLogger("x").makeRecord("x", logging.INFO, "", 0, "said", (), None)
        assert TextFormatter().format(record).endswith("said worker=3")
    finally:
        logging.setLogRecordFactory(plain)


@asynccontextmanager
async def answering(
    member: WorkerGroup, reply: Callable[[bytes], bytes], *, hangs: bool = False
) -> AsyncIterator[None]:
    """A worker that answers each request with `reply(request)`; with `hangs` it does not close the connection."""
    answers: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError):
            writer.write(reply(await reader.readuntil(b"\r\n\r\n")))
        if hangs:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(answer, sock=member.bind()):
        try:
            yield
        finally:
            for task in answers:
                assert task is not None
                await task


class TestAsking:
    @staticmethod
    def asked(reply: Callable[[bytes], bytes], **options: float) -> Answer:
        """The answer that worker 2 gets from worker 1, which replies with `reply(request)`."""
        answerer, asker = WorkerGroup.create(2)

        async def scenario() -> Answer:
            async with answering(answerer, reply, hangs=bool(options)):
                return await asker.ask(1, "/metrics", **options)

        return asyncio.run(scenario())

    def test_the_answer_is_its_status_and_body(self) -> None:
        assert self.asked(lambda _: b"HTTP/1.1 503 Busy\r\nx: y\r\n\r\na\r\n\r\nb") == Answer(503, b"a\r\n\r\nb")

    def test_a_request_carries_the_secret(self) -> None:
        request = self.asked(lambda request: b"HTTP/1.1 200 OK\r\n\r\n" + request).body
        assert request.startswith(b"GET /metrics HTTP/1.1\r\n")
        assert b"authorization: Bearer " in request

    def test_a_worker_that_hangs_is_an_error_after_the_timeout(self) -> None:
        with pytest.raises(WorkerGroupError, match="in time"):
            self.asked(lambda _: b"HTTP/1.1 200 OK\r\n\r\n", within_s=0.05)

    def test_a_connection_closed_without_an_answer_is_an_error(self) -> None:
        with pytest.raises(WorkerGroupError, match="complete"):
            self.asked(lambda _: b"")

    def test_the_socket_of_another_user_gets_no_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = WorkerGroup.create(2)
        uid = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
        with first.bind() as sock:
            sock.listen()
            with pytest.raises(WorkerGroupError, match="another user"):
                asyncio.run(second.ask(1, "/metrics"))
            asked, _ = sock.accept()
            with asked:
                assert asked.recv(1000) == b""

    def test_ask_all_returns_answers_and_errors_by_worker(self) -> None:
        first, _ = WorkerGroup.create(2)

        async def scenario() -> dict[int, Answer | WorkerGroupError]:
            async with answering(first, lambda _: b"HTTP/1.1 200 OK\r\n\r\nhere"):
                return await first.ask_all("/healthz")

        found = asyncio.run(scenario())
        assert found[1] == Answer(200, b"here")
        assert isinstance(found[2], WorkerGroupError)
        assert "refused" in str(found[2])

    def test_a_programming_error_is_not_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(*_: object) -> Answer:
            raise ValueError("ours")

        monkeypatch.setattr(WorkerGroup, "ask", broken)
        with pytest.raises(ValueError, match="ours"):
            asyncio.run(WorkerGroup.create(1)[0].ask_all("/healthz"))


def test_a_worker_ends_with_its_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        monkeypatch.setattr(sys, "stdin", ours.makefile("r"))
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        try:
            end_with_supervisor()
            theirs.close()
            await asyncio.wait_for(ended.wait(), 5)
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            ours.close()

    asyncio.run(scenario())
