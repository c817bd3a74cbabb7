"""What a feed has read becomes payloads of its source's format, and rows are closed by later ones."""

from __future__ import annotations

import pytest

from gateway.feed.format_sink import FormatSink
from gateway.feed.formats.cryptofeed import CryptofeedPayload
from gateway.feed.formats.registry import FORMATS
from gateway.feed.formats.row_series import marked
from gateway.feed.formats.rows import CcxtPayload
from gateway.redis.contract import Topic
from tests.builders import MINUTE_MS, T0
from tests.unit.feed.doubles import CONNECTED, RecordingSink

BARS, ETH_BARS, PRICE = Topic("BTCUSDT", "1m"), Topic("ETHUSDT", "1m"), Topic("BTCUSDT", "")
LIMIT_MS = T0 + 60 * MINUTE_MS


def row(number: int) -> bytes:
    return f"[{T0 + number * MINUTE_MS},1,1,1,1,1]".encode()


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


def rows_into(sink: RecordingSink, *, continuous: bool = False) -> FormatSink:
    return FormatSink(FORMATS["ccxt"], sink, lambda: LIMIT_MS, continuous=continuous)


def test_payloads_of_objects_are_passed_on_one_by_one(sink: RecordingSink) -> None:
    FormatSink(FORMATS["cryptofeed"], sink, lambda: LIMIT_MS).ingest([(BARS, b"{}"), (PRICE, b"{}")], 3)
    assert sink.batches == [[(BARS, b"{}"), (PRICE, b"{}")]]
    assert {type(payload) for _, payload in sink.messages} == {CryptofeedPayload}
    assert sink.replaced == 3


def test_a_later_row_closes_the_one_before_in_its_own_series(sink: RecordingSink) -> None:
    rows = rows_into(sink)
    rows.ingest([(BARS, row(0)), (ETH_BARS, row(1)), (PRICE, b'{"last":1}')])
    rows.ingest([(BARS, row(1))])
    assert sink.batches[1] == [(BARS, marked(row(0))), (BARS, row(1))]
    assert {type(payload) for _, payload in sink.messages} == {CcxtPayload}


def test_what_says_nothing_new_is_no_message(sink: RecordingSink) -> None:
    rows = rows_into(sink)
    rows.ingest([(BARS, row(0))])
    rows.ingest([(BARS, row(0))])
    assert len(sink.batches) == 1


@pytest.mark.parametrize("continuous", [False, True])
def test_after_a_disconnect_a_row_is_closed_only_by_a_feed_that_goes_on_where_it_was(
    sink: RecordingSink, continuous: bool
) -> None:
    rows = rows_into(sink, continuous=continuous)
    rows.connected()
    rows.ingest([(BARS, row(0))])
    rows.disconnected("gone")
    rows.connected()
    rows.ingest([(BARS, row(1))])
    assert ((BARS, marked(row(0))) in sink.messages) is continuous
    assert sink.states == [CONNECTED, "gone", CONNECTED]


def test_what_was_missed_is_forgotten(sink: RecordingSink) -> None:
    rows = rows_into(sink, continuous=True)
    rows.ingest([(BARS, row(0))])
    rows.missed()
    rows.ingest([(BARS, row(1))])
    assert sink.messages == [(BARS, row(0)), (BARS, row(1))]


def test_it_surges_and_charges_as_its_sink_does(sink: RecordingSink) -> None:
    sink.surging = True
    assert rows_into(sink).surging
    assert rows_into(sink).charge is sink.charge
