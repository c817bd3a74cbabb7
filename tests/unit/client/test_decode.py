from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from kline_gateway_client import decode as wire

from gateway.protocol import compact, native
from tests.builders import T0, kline

WHOLE = kline(volume="1.50", quote_volume="0.10", trades=7, closed=True)


def test_the_names_of_the_variants_are_the_gateway_s() -> None:
    assert (wire.JSON, wire.COMPACT) == (native.SUBPROTOCOL, compact.SUBPROTOCOL)


def test_numbers_keep_their_digits() -> None:
    assert list(map(str, wire.decoded("[1.500, 97000.10, 100, 0.00000001]"))) == ["1.500", "97000.10", "100", "1E-8"]


@pytest.mark.parametrize("text", ["", "{", "[1,]", b"\xff"], ids=repr)
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        wire.decoded(text)


@pytest.mark.parametrize("changes", [{}, {"closed": False}, {"closed": False, "provisional": True}])
def test_a_whole_kline_says_the_same_in_both_variants(changes: dict[str, Any]) -> None:
    sent = WHOLE._replace(**changes)
    state = 1 if sent.closed else 2 if sent.provisional else 0
    found = wire.kline_of("BTCUSDT", "1m", wire.decoded(native.kline_json(sent)))
    elements = [Decimal(T0), *map(Decimal, sent[2:8]), Decimal(7), Decimal(state)]
    assert found == wire.kline_of_compact("BTCUSDT", "1m", elements)
    assert found[:4] == ("BTCUSDT", "1m", sent.open_time_ms, sent.close_time_ms)
    assert tuple(map(str, found[4:10])) == sent[2:8]
    assert found[10:] == (7, sent.closed, sent.provisional)
    assert (type(found.trades), type(found.open_time_ms)) == (int, int)


def test_commands_say_no_more_than_they_must() -> None:
    assert json.loads(wire.subscribe(1, ["ticker:X"], 0, {})) == {"op": "subscribe", "id": 1, "channels": ["ticker:X"]}
    more = json.loads(wire.subscribe(2, ["kline:X:1m"], 1, {"kline:X:1m": T0}))
    assert (more["history"], more["resume"]) == (1, {"kline:X:1m": T0})
    gone = json.loads(wire.unsubscribe(3, ("ticker:X",)))
    assert gone == {"op": "unsubscribe", "id": 3, "channels": ["ticker:X"]}
