from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from kline_gateway_client import codec

from gateway.protocol import compact, native
from tests.builders import T0, kline

WHOLE = kline(volume="1.50", quote_volume="0.10", trades=7, closed=True)


def test_subprotocol_names_equal_the_gateway_s() -> None:
    assert (codec.JSON, codec.COMPACT) == (native.SUBPROTOCOL, compact.SUBPROTOCOL)


def test_numbers_keep_their_digits() -> None:
    assert list(map(str, codec.decode_json("[1.500, 97000.10, 100, 0.00000001]"))) == [
        "1.500",
        "97000.10",
        "100",
        "1E-8",
    ]


@pytest.mark.parametrize("text", ["", "{", "[1,]", b"\xff"], ids=repr)
def test_invalid_json_raises_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        codec.decode_json(text)


@pytest.mark.parametrize("changes", [{}, {"closed": False}, {"closed": False, "provisional": True}])
def test_full_values_of_both_dialects_decode_to_the_same_kline(changes: dict[str, Any]) -> None:
    sent = WHOLE._replace(**changes)
    state = 1 if sent.closed else 2 if sent.provisional else 0
    found = codec.kline_from_fields("BTCUSDT", "1m", codec.decode_json(native.kline_json(sent)))
    elements: list[Decimal] = [Decimal(T0), *map(Decimal, sent[2:8]), Decimal(7), Decimal(state)]
    assert found == codec.kline_from_array("BTCUSDT", "1m", elements)
    assert found[:4] == ("BTCUSDT", "1m", sent.open_time_ms, sent.close_time_ms)
    assert tuple(map(str, found[4:10])) == sent[2:8]
    assert found[10:] == (7, sent.closed, sent.provisional, None)
    assert (type(found.trades), type(found.open_time_ms)) == (int, int)


@pytest.mark.parametrize(("sent", "found"), [(Decimal(T0), T0), (None, None)], ids=["known", "unknown"])
def test_full_values_have_their_event_time(sent: Decimal | None, found: int | None) -> None:
    fields = codec.decode_json(native.kline_json(WHOLE)) | {"E": sent}
    elements: list[Any] = [Decimal(T0), *map(Decimal, WHOLE[2:8]), Decimal(7), Decimal(1), sent]
    assert codec.kline_from_fields("BTCUSDT", "1m", fields).event_time_ms == found
    assert codec.kline_from_array("BTCUSDT", "1m", elements).event_time_ms == found


def test_commands_leave_out_empty_fields() -> None:
    assert json.loads(codec.encode_subscribe(1, ["ticker:X"], 0, {})) == {
        "op": "subscribe",
        "id": 1,
        "channels": ["ticker:X"],
    }
    more = json.loads(codec.encode_subscribe(2, ["kline:X:1m"], 1, {"kline:X:1m": T0}))
    assert (more["history"], more["resume"]) == (1, {"kline:X:1m": T0})
    wanted = json.loads(codec.encode_set(3, {"event_times": True, "max_rate": 2.5}))
    assert wanted == {"op": "set", "id": 3, "event_times": True, "max_rate": 2.5}
    gone = json.loads(codec.encode_unsubscribe(3, ("ticker:X",)))
    assert gone == {"op": "unsubscribe", "id": 3, "channels": ["ticker:X"]}
