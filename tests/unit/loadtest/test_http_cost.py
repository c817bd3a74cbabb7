"""What is read of an answer, however it is cut into packets, and the table of costs."""

from __future__ import annotations

import socket

import pytest

from loadtest.http_cost import Cost, _Answer, table

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize("parts", [[HEAD + b"12345"], [HEAD, b"12345"], [HEAD + b"1", b"23", b"45"]])
def test_an_answer_is_complete_with_its_last_byte(parts: list[bytes]) -> None:
    near, far = socket.socketpair()
    with near, far:
        answer = _Answer(near)
        for number, part in enumerate(parts, 1):
            far.sendall(part)
            assert answer.read() is (number == len(parts))
        assert answer.size == len(HEAD) + 5
        answer.restart()
        far.sendall(b"HTTP/1.1 304 Not Modified\r\ndate: x\r\n\r\n")
        assert answer.read()


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 429 Too Many Requests\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_anything_else_is_an_error(data: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError):
            _Answer(near).read()


def test_costs_are_compared_with_the_first() -> None:
    text = table([Cost("hello world", 20.0, 9000.0, 100), Cost("klines", 50.0, 4000.0, 90_000)])
    rows = [line.split() for line in text.splitlines()]
    assert rows[1][-4:] == ["20.0", "1.00", "9,000", "100"]
    assert rows[2] == ["klines", "50.0", "2.50", "4,000", "90,000"]
