"""Packed bars are the bars, in less memory."""

from __future__ import annotations

from gateway.history.packed import PackedKlines
from tests.unit.history.stage import bar, bars


def test_what_was_packed_comes_out_again() -> None:
    kept = [bar(0)._replace(event_time_ms=7, taker_volume="0.5", first_trade_id=3), *bars(1, 9)]
    packed = PackedKlines(kept)
    assert list(packed) == kept
    assert packed[-1] == kept[-1]
    assert packed[2:5] == kept[2:5]
    assert len(packed) == len(kept)


def test_packing_again_shares_what_is_packed() -> None:
    packed = PackedKlines(bars(0, 3))
    assert PackedKlines(packed).same(2, packed, 2)
    assert not packed.same(1, packed, 2)
