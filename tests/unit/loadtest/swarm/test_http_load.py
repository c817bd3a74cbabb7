from __future__ import annotations

import asyncio

import pytest

from loadtest.swarm.http_load import read_answer, request_bytes


def test_a_target_is_fetched() -> None:
    assert request_bytes("/v1/klines?symbol={symbol}", "AAUSDT", "h:1") == (
        b"GET /v1/klines?symbol=AAUSDT HTTP/1.1\r\nHost: h:1\r\n\r\n"
    )


def test_a_body_is_posted_unchanged() -> None:
    head, _, body = request_bytes('POST /f {"symbol": "{symbol}"}', "AAUSDT", "h:1").partition(b"\r\n\r\n")

    assert head.splitlines() == [
        b"POST /f HTTP/1.1", b"Host: h:1", b"Content-Type: application/json", b"Content-Length: 20",
    ]  # fmt: skip
    assert body == b'{"symbol": "AAUSDT"}'


async def answered(data: bytes) -> tuple[str, int]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await read_answer(reader)


async def test_an_answer_is_read_to_its_end() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

    assert await answered(answer) == ("200", len(answer))


async def test_not_modified_has_no_body() -> None:
    assert (await answered(b'HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n'))[0] == "304"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhello", ValueError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", asyncio.IncompleteReadError),
        (b"", asyncio.IncompleteReadError),
    ],
    ids=["no length", "cut off", "nothing"],
)
async def test_an_incomplete_answer_raises(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await answered(data)
