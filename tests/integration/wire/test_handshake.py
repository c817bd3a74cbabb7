"""RFC 6455 section 4 over raw sockets: valid, invalid and slow handshakes, and invalid HTTP."""

from __future__ import annotations

import pytest

from gateway.server.http_protocol import PIPELINE_MAX, WRONG_VERSION
from loadtest.protocol.websocket import TEXT
from tests.integration.wire.raw_client import KEY, Wire, closed, closing, framed, handshake, text

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE, CONNECTION, VERSION = b"Upgrade", b"Connection", b"Sec-WebSocket-Version"


def status(port: int, data: bytes, chop: int = 0) -> int:
    """The status of the answer; 0 where the server hangs up without one."""
    with Wire(port) as wire:
        wire.send(data, chop)
        answer = wire.answer()
        return int(answer.split()[1]) if answer else 0


class TestGood:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(handshake(), id="as it should be"),
            pytest.param(handshake(b"upgrade: WebSocket", without=UPGRADE), id="names and tokens in any case"),
            pytest.param(handshake(b"Connection: keep-alive, Upgrade", without=CONNECTION), id="a list of tokens"),
            pytest.param(handshake(b"Cookie: " + b"x" * 4000), id="a large cookie"),
            pytest.param(handshake(line=b"GET /any/%F0%9F%98%80?q=%00 HTTP/1.1"), id="an odd target"),
            pytest.param(handshake(b"X-Odd: \xe9\xff"), id="bytes that are no ASCII in a header"),
        ],
    )
    @pytest.mark.parametrize("chop", [0, 1, 50])
    def test_it_is_answered_with_the_digest_of_the_key(self, port: int, data: bytes, chop: int) -> None:
        with Wire(port) as wire:
            wire.send(data, chop)
            answer = wire.answer()
            assert answer.startswith(b"HTTP/1.1 101 ")
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
            wire.send(text(b"hello") + closing(1000))
            assert wire.frames() == [(TEXT, b"hello"), closed(1000)]

    @pytest.mark.parametrize("cut", [0, 1, 2, 3, 20, len(handshake()) - 1])
    def test_commands_sent_with_it_are_not_lost(self, port: int, cut: int) -> None:
        data = handshake() + text(b"one") + text(b"\r\n\r\n") + closing(1000)
        with Wire(port) as wire:
            wire.send(data[: len(handshake()) - cut])
            wire.send(data[len(handshake()) - cut :])
            assert wire.answer().startswith(b"HTTP/1.1 101 ")
            assert wire.frames() == [(TEXT, b"one"), (TEXT, b"\r\n\r\n"), closed(1000)]

    def test_it_may_follow_a_request_on_the_same_connection(self, port: int) -> None:
        with Wire(port) as wire:
            wire.send(GET)
            assert wire.answer().startswith(b"HTTP/1.1 200 ")
            assert wire.read(2) == b"xx"
            wire.send(handshake() + text(b"early") + closing(1000))
            assert wire.answer().startswith(b"HTTP/1.1 101 ")
            assert wire.frames() == [(TEXT, b"early"), closed(1000)]

    def test_a_second_one_on_the_connection_is_a_broken_frame(self, port: int) -> None:
        with Wire(port) as wire:
            wire.upgrade()
            wire.send(handshake())
            assert wire.frames() == [closed(1002)]


class TestBad:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            pytest.param(handshake(without=b"Sec-WebSocket-Key"), 400, id="no key"),
            pytest.param(handshake(b"Sec-WebSocket-Key: short", without=b"Sec-WebSocket-Key"), 400, id="short key"),
            pytest.param(handshake(b"Sec-WebSocket-Key: !!!", without=b"Sec-WebSocket-Key"), 400, id="key no base64"),
            pytest.param(handshake(KEY), 400, id="two keys"),
            pytest.param(handshake(without=VERSION), 426, id="no version"),
            pytest.param(handshake(VERSION + b": 12", without=VERSION), 426, id="version 12"),
            pytest.param(handshake(VERSION + b": 13"), 400, id="two versions"),
            pytest.param(handshake(VERSION + b": 13, 8", without=VERSION), 426, id="a list of versions"),
            pytest.param(handshake(line=b"POST / HTTP/1.1"), 405, id="a POST"),
            pytest.param(handshake(line=b"GET / HTTP/1.0"), 400, id="HTTP/1.0"),
            pytest.param(handshake(b"Content-Length: 5") + b"hello", 400, id="with a body"),
            pytest.param(handshake(b"X: " + b"x" * 9000), 431, id="a header too large"),
            pytest.param(handshake(*[b"X-%d: 1" % n for n in range(200)]), 431, id="too many headers"),
            pytest.param(handshake(line=b"GET /" + b"x" * 9000 + b" HTTP/1.1"), 431, id="a target too long"),
            pytest.param(handshake(line=b"GET /\xff HTTP/1.1"), 400, id="a target that is no ASCII"),
            pytest.param(b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="a target that is no URL"),
            pytest.param(handshake(without=b"Host"), 400, id="no host"),
            pytest.param(handshake(b"Bad Name: 1"), 400, id="a header name with a space"),
            pytest.param(handshake(b"X: a\0b"), 400, id="a zero byte in a header"),
            pytest.param(handshake(b"X: a\rb"), 400, id="a bare carriage return"),
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), 400, id="TLS"),
            pytest.param(b"\x81\x85" + b"hello" * 10, 400, id="frames without a handshake"),
            pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2"),
            pytest.param(b"\0" * 300, 400, id="zeroes"),
            pytest.param(b"GET\r\n\r\n", 400, id="half a request line"),
        ],
    )
    @pytest.mark.parametrize("chop", [0, 100])
    def test_it_is_refused_with_a_status(self, port: int, data: bytes, code: int, chop: int) -> None:
        assert status(port, data, chop) == code

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(handshake(without=UPGRADE), id="no Upgrade"),
            pytest.param(handshake(without=CONNECTION), id="no Connection"),
            pytest.param(handshake(b"Upgrade: h2c", without=UPGRADE), id="upgrade to something else"),
        ],
    )
    def test_without_an_upgrade_it_is_an_ordinary_request(self, port: int, data: bytes) -> None:
        assert status(port, data) == 200

    @pytest.mark.parametrize("path", [b"/v1/stream", b"/realtime/v1/kline-updates", b"/ws", b"/stream", b"/none"])
    def test_another_version_is_told_the_one_that_is_spoken(self, port: int, path: bytes) -> None:
        with Wire(port) as wire:
            wire.send(handshake(VERSION + b": 8", line=b"GET " + path + b" HTTP/1.1", without=VERSION))
            head = wire.answer().lower().rstrip()
        assert head.startswith(b"http/1.1 426 ")
        assert {b"upgrade: websocket", b"sec-websocket-version: 13", b"connection: upgrade, close"} <= set(
            head.split(b"\r\n")
        )
        body = WRONG_VERSION.partition(b"\r\n\r\n")[2]
        assert f"content-length: {len(body)}".encode() in head

    def test_the_server_keeps_running(self, port: int) -> None:
        assert status(port, handshake()) == 101


class TestLimits:
    def test_an_endless_header_is_refused(self, port: int) -> None:
        assert status(port, b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000, chop=1000) == 431

    def test_too_many_header_fields_are_refused(self, port: int) -> None:
        assert status(port, b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 100_000, chop=6000) == 431

    def test_the_queue_of_requests_is_bounded(self, port: int) -> None:
        with Wire(port) as wire:
            wire.send(GET * (PIPELINE_MAX * 4))
            assert wire.rest().count(b"HTTP/1.1 ") <= PIPELINE_MAX + 2

    def test_pipelined_requests_are_answered_in_order(self, port: int) -> None:
        with Wire(port) as wire:
            wire.send(b"".join(b"GET /?%d HTTP/1.1\r\nHost: x\r\n\r\n" % size for size in (1, 2, 3)))
            bodies = []
            for size in (1, 2, 3):
                assert wire.answer().startswith(b"HTTP/1.1 200 ")
                bodies.append(wire.read(size))
            assert bodies == [b"x", b"xx", b"xxx"]


class TestTime:
    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            pytest.param(b"", 0, id="nothing"),
            pytest.param(b"G", 408, id="a byte"),
            pytest.param(handshake()[:-2], 408, id="all but the blank line"),
            pytest.param(handshake()[:-1], 408, id="all but a byte"),
            pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf", 0, id="half a body"),
        ],
    )
    def test_an_incomplete_request_times_out(self, hasty_port: int, sent: bytes, code: int) -> None:
        assert status(hasty_port, sent) == code

    def test_a_request_sent_byte_by_byte_times_out(self, hasty_port: int) -> None:
        with Wire(hasty_port) as wire:
            for at in range(len(handshake())):
                wire.send(handshake()[at : at + 1])
                if wire.readable(0.02):
                    break
            assert wire.answer().startswith(b"HTTP/1.1 408 ")

    def test_an_idle_connection_after_an_answer_is_closed(self, hasty_port: int) -> None:
        with Wire(hasty_port) as wire:
            wire.send(GET)
            assert wire.answer().startswith(b"HTTP/1.1 200 ")
            wire.send(b"GET /")
            assert b"HTTP/1.1 408 " in wire.rest()

    def test_a_client_that_does_not_read_the_answer_is_disconnected(self, hasty_port: int) -> None:
        with Wire(hasty_port, receive_buffer=4096) as wire:
            wire.send(b"GET /?50000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert wire.cut()

    def test_an_idle_websocket_stays_open(self, hasty_port: int) -> None:
        with Wire(hasty_port) as wire:
            wire.upgrade()
            assert not wire.readable(1.0)
            wire.send(framed(9, b"?") + closing(1000))
            assert wire.frames() == [(10, b"?"), closed(1000)]
