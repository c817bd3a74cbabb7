from __future__ import annotations

import socket
from collections import Counter
from itertools import islice

import pytest

from loadtest.attack.burst_requests import BURSTS, INTERVALS, Answers, Burst, requests

SYMBOLS = ["AAAUSDT", "BBBUSDT"]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


def test_every_series_is_asked_for_once_before_one_is_repeated() -> None:
    burst = Burst("x", ("/k?s={symbol}&i={interval}",))
    made = list(islice(requests(burst, "h", SYMBOLS), 2 * len(INTERVALS)))
    assert len(set(made)) == len(made)
    assert made[0] == b"GET /k?s=AAAUSDT&i=1m HTTP/1.1\r\nHost: h\r\n\r\n"


def test_lists_of_symbols_are_filled_in() -> None:
    burst = Burst("x", ("/q?s={symbols}", "/q?s=[{quoted}]"))
    assert [request.split(b" ")[1] for request in islice(requests(burst, "h", SYMBOLS), 2)] == [
        b"/q?s=AAAUSDT,BBBUSDT",
        b"/q?s=[%22AAAUSDT%22,%22BBBUSDT%22]",
    ]


def test_a_burst_of_handshakes_asks_for_an_upgrade() -> None:
    (request,) = islice(requests(Burst("x", ("/v1/stream",), websocket=True), "h", SYMBOLS), 1)
    assert b"Upgrade: websocket" in request


@pytest.mark.parametrize("size", [1, 7, 1000], ids=["byte by byte", "in parts", "at once"])
def test_pipelined_answers_are_counted_by_status(size: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        answers = Answers(ours, b"", Burst("x", ("/",), pipelined=3))
        statuses: Counter[str] = Counter()
        data = ANSWER + b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" + ANSWER
        done = []
        for start in range(0, len(data), size):
            theirs.send(data[start : start + size])
            done.append(answers.read(statuses))
        assert (done[:-1], done[-1]) == ([False] * (len(done) - 1), True)
        assert (statuses, answers.size) == ({"200": 2, "404": 1}, len(data))


def test_answers_that_a_closed_connection_owes_are_counted_as_cut() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        answers = Answers(ours, b"", Burst("x", ("/",), pipelined=3))
        statuses: Counter[str] = Counter()
        theirs.send(ANSWER)
        theirs.close()
        assert not answers.read(statuses)
        assert answers.read(statuses)
        assert statuses == {"200": 1, "cut": 2}


def test_names_of_bursts_are_unique() -> None:
    assert len({burst.name for burst in BURSTS}) == len(BURSTS)
