"""The oldest prefixes are dropped once there are too many bytes; what is gone already costs nothing but its count."""

from __future__ import annotations

from gateway.history.kept_prefixes import KEPT_MAX_BYTES, OTHER_BYTES, UNPACKED_MAX, KeptPrefixes


class Holder:
    def __init__(self) -> None:
        self.dropped: list[object] = []
        self.packed = 0

    def drop(self, key: object) -> None:
        self.dropped.append(key)

    def pack(self) -> None:
        self.packed += 1


def test_the_oldest_are_dropped_beyond_the_bound() -> None:
    kept, first, second = KeptPrefixes(2 * (OTHER_BYTES + 20)), Holder(), Holder()
    kept.add(first, "a", 10)
    kept.add(second, "b", 10)
    assert (kept.bytes, first.dropped) == (2 * (OTHER_BYTES + 20), [])
    kept.add(second, "c", 10)
    assert (first.dropped, second.dropped, len(kept)) == (["a"], [], 2)
    kept.add(first, "d", 2 * OTHER_BYTES)
    assert (first.dropped, second.dropped) == (["a", "d"], ["b", "c"]), "one that is larger than all may be"
    assert (kept.bytes, len(kept)) == (0, 0)


def test_an_owner_is_not_kept_alive() -> None:
    kept = KeptPrefixes(OTHER_BYTES)
    kept.add(Holder(), "a", 0)
    assert len(kept) == 1
    kept.add(holder := Holder(), "b", 0)
    assert (len(kept), holder.dropped) == (1, [])


def test_by_default_a_thousand_answers_are_kept() -> None:
    assert KeptPrefixes()._max == KEPT_MAX_BYTES


def test_few_series_stay_unpacked() -> None:
    kept, holders = KeptPrefixes(), [Holder() for _ in range(UNPACKED_MAX + 1)]
    for holder in holders:
        kept.add_unpacked(holder)
    assert [holder.packed for holder in holders] == [1] + [0] * UNPACKED_MAX
    kept.add_unpacked(Holder())
    for _ in range(UNPACKED_MAX + 1):
        kept.add_unpacked(holders[0])
    assert holders[-1].packed == 1, "one that is gone is passed over"
