"""What is read for an interval that the store lacks: enough parts, in pages, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.archive.sqlite import SqliteArchive
from gateway.config import MarketConfig
from gateway.history import aggregating_store
from gateway.history.aggregating_store import AggregatingStore
from gateway.history.archived_store import ArchivedStore
from gateway.history.store import SeriesRead
from gateway.market.aggregate import aggregate_closed
from gateway.model.interval import DAY_MS, INTERVALS
from gateway.runtime.archiving import plain
from tests.builders import MINUTE_MS, T0, closed_klines
from tests.unit.history.stage import Stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.history.aggregating_store import StoredKlines
    from gateway.model.kline import Kline

FIVE_MS = 5 * MINUTE_MS


class Many(Stored):
    """A store of BTCUSDT with several intervals."""

    def __init__(self, **intervals: list[Kline]) -> None:
        super().__init__()
        self.held = {name.removeprefix("m"): klines for name, klines in intervals.items()}
        self.asked: list[tuple[str, int]] = []

    async def closed_klines(
        self, symbol: str, interval: str, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Kline]:
        self.asked.append((interval, limit))
        self.klines = self.held.get(interval, [])
        return await super().closed_klines(symbol, "1m", limit, start_ms, end_ms)

    async def has_klines(self, symbol: str, interval: str) -> bool:
        return bool(self.held.get(interval))


def store_of(held: Stored, **market: Any) -> AggregatingStore:
    return AggregatingStore(held, MarketConfig(**{"intervals": ("1m", "5m", "15m", "1d")} | market))


def opens(found: StoredKlines) -> list[int]:
    """Which 5m bars these are."""
    return [(kline.open_time_ms - T0) // FIVE_MS for kline in found.klines]


async def test_a_stored_interval_is_read_as_it_is() -> None:
    klines = closed_klines(range(3))
    found = await store_of(Many(m1m=klines)).closed_klines("BTCUSDT", "1m", 2)
    assert (found.klines, found.parts) == (klines[1:], None)


async def test_a_range_without_stored_klines_is_not_aggregated() -> None:
    stored = Many(**{"m5m": closed_klines(range(3), interval="5m"), "m1m": closed_klines(range(100))})
    found = await store_of(stored).closed_klines("BTCUSDT", "5m", 9, T0 + 10 * FIVE_MS)
    assert (found.klines, found.parts) == ([], None)


async def test_the_longest_stored_divisor_is_used() -> None:
    stored = Many(**{"m5m": closed_klines(range(6), interval="5m"), "m1m": closed_klines(range(100))})
    found = await store_of(stored).closed_klines("BTCUSDT", "15m", 9)
    assert found.parts is not None
    assert (found.parts.interval, len(found.klines)) == ("5m", 2)


async def test_without_any_divisor_the_result_is_empty() -> None:
    found = await store_of(Many()).closed_klines("BTCUSDT", "15m", 9)
    assert (found.klines, found.parts) == ([], None)


@pytest.mark.parametrize(
    ("limit", "start_ms", "end_ms", "wanted"),
    [
        pytest.param(3, None, None, [17, 18, 19], id="the last"),
        pytest.param(100, None, None, list(range(20)), id="all there is"),
        pytest.param(2, T0, None, [0, 1], id="from the first"),
        pytest.param(2, T0 + 1, None, [1, 2], id="from within a bar"),
        pytest.param(9, T0 + 3 * FIVE_MS, T0 + 5 * FIVE_MS, [3, 4, 5], id="between"),
        pytest.param(2, None, T0 + 5 * FIVE_MS - 1, [3, 4], id="up to"),
        pytest.param(9, 0, T0 - 1, [], id="before"),
    ],
)
@pytest.mark.parametrize("piece", [5000, 7])
async def test_aggregated_klines_open_within_both_ends(
    limit: int,
    start_ms: int | None,
    end_ms: int | None,
    wanted: list[int],
    piece: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aggregating_store, "READ_PARTS", piece)
    stored = Many(m1m=closed_klines(range(102)))
    found = await store_of(stored).closed_klines("BTCUSDT", "5m", limit, start_ms, end_ms)
    assert opens(found) == wanted
    assert max(limit for name, limit in stored.asked if name == "1m") <= piece


@pytest.mark.parametrize(
    ("interval", "stored", "source"),
    [
        pytest.param("1m", (), "1m", id="stored itself"),
        pytest.param("15m", (), "5m", id="the longest divisor"),
        pytest.param("5m", ("1m",), "1m", id="stored against the settings"),
    ],
)
async def test_what_klines_are_made_of(interval: str, stored: tuple[str, ...], source: str) -> None:
    held = Many(m1m=closed_klines(range(30)), m5m=closed_klines(range(6), interval="5m"))
    assert await store_of(held, stored=stored).source_of("BTCUSDT", interval) == source


async def test_of_nothing_nothing_is_made() -> None:
    assert await store_of(Many()).source_of("BTCUSDT", "5m") == ""


async def test_the_parts_of_one_answer_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregating_store, "PARTS_MAX", 30)
    stored = Many(m1m=closed_klines(range(1000)))
    found = await store_of(stored).closed_klines("BTCUSDT", "5m", 500)
    assert opens(found) == list(range(194, 200))


async def test_configured_stored_intervals_need_no_read() -> None:
    stored = Many(**{"m5m": closed_klines(range(3), interval="5m"), "m1m": closed_klines(range(20))})
    store = store_of(stored, stored=("1m",))
    assert opens(await store.closed_klines("BTCUSDT", "5m", 9)) == [0, 1, 2, 3]
    assert {name for name, _ in stored.asked} == {"1m"}
    assert (await store.closed_klines("BTCUSDT", "1m", 9, T0 - 9, T0 - 1)).parts is None


class TestManySeries:
    """What is read for many series at once is what would be read for each alone, in fewer reads."""

    READS = (
        ("1m", 2, None),
        ("5m", 3, None),
        ("15m", 2, None),
        ("5m", 4, T0 + FIVE_MS),
        ("15m", 2, T0),
        ("1d", 2, None),
    )

    @pytest.mark.parametrize(
        ("held", "market"),
        [
            pytest.param({"m1m": range(100)}, {}, id="one interval is stored"),
            pytest.param({"m1m": range(100)}, {"stored": ("1m",)}, id="the settings say so"),
            pytest.param({"m1m": range(100), "m5m": range(20)}, {}, id="two are stored"),
            pytest.param({}, {}, id="none is stored"),
        ],
    )
    async def test_the_answers_are_the_same(self, held: dict[str, range], market: dict[str, Any]) -> None:
        stored = {name: closed_klines(numbers, interval=name[1:]) for name, numbers in held.items()}
        reads = [SeriesRead("BTCUSDT", *read) for read in self.READS]
        alone = [await store_of(Many(**stored), **market).closed_klines(*read) for read in reads]
        together = await store_of(Many(**stored), **market).closed_klines_of(reads)
        assert [found.klines for found in together] == [found.klines for found in alone]
        assert [found.parts for found in together] == [found.parts for found in alone]

    async def test_the_parts_are_read_once_for_all_intervals(self) -> None:
        stored = Many(m1m=closed_klines(range(100)))
        reads = [SeriesRead("BTCUSDT", interval, 2) for interval in ("5m", "15m", "1d")]
        await store_of(stored, stored=("1m",)).closed_klines_of(reads)
        assert [interval for interval, _ in stored.asked] == ["1m"]

    async def test_more_parts_than_one_read_brings_are_read_in_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(aggregating_store, "READ_PARTS", 7)
        stored = Many(m1m=closed_klines(range(100)))
        (found,) = await store_of(stored).closed_klines_of([SeriesRead("BTCUSDT", "5m", 3)])
        assert opens(found) == [17, 18, 19]

    async def test_a_stored_interval_without_klines_in_the_range_is_not_aggregated(self) -> None:
        stored = Many(**{"m5m": closed_klines(range(3), interval="5m"), "m1m": closed_klines(range(100))})
        (found,) = await store_of(stored).closed_klines_of([SeriesRead("BTCUSDT", "5m", 9, T0 + 10 * FIVE_MS)])
        assert (found.klines, found.parts) == ([], None)


DAYS = 12
PARTS = [plain(kline) for kline in closed_klines(range(DAYS * 1440 + 100))]
KEPT = 500
"""Of them the store has the newest."""


class TestWithAnArchive:
    """It makes the older ones of long windows, and the parts of the store the newest."""

    @pytest.fixture
    async def archive(self, tmp_path: Path) -> AsyncIterator[SqliteArchive]:
        """The newest parts are missing."""
        made = SqliteArchive(tmp_path / "archive.db")
        await made.write({("BTCUSDT", "1m"): PARTS[:-7]})
        yield made
        await made.aclose()

    def store(self, archive: SqliteArchive, stored: list[Kline], **market: Any) -> AggregatingStore:
        config = MarketConfig(**{"intervals": ("1m", "1d", "1w")} | market)
        return AggregatingStore(ArchivedStore(Many(m1m=stored), archive), config)

    def days(self, parts: list[Kline]) -> list[Kline]:
        return aggregate_closed(parts, INTERVALS["1m"], INTERVALS["1d"])

    @pytest.mark.parametrize(
        ("limit", "start_ms", "end_ms"),
        [
            pytest.param(9, None, None, id="the last"),
            pytest.param(400, None, None, id="all there is"),
            pytest.param(4, 0, None, id="from the very first"),
            pytest.param(400, 0, None, id="from the very first to the last"),
            pytest.param(400, T0 + 5 * DAY_MS, None, id="from within"),
            pytest.param(400, T0 + DAY_MS, T0 + 5 * DAY_MS, id="between, long ago"),
            pytest.param(9, None, T0 + (DAYS - 1) * DAY_MS, id="up to one of the newest"),
            pytest.param(9, None, T0 + 99 * DAY_MS, id="up to a time to come"),
            pytest.param(9, None, T0 - 9 * DAY_MS, id="before the first"),
        ],
    )
    async def test_they_are_those_made_of_all_parts(
        self, archive: SqliteArchive, limit: int, start_ms: int | None, end_ms: int | None
    ) -> None:
        store = self.store(archive, PARTS[-KEPT:])
        found = await store.closed_klines("BTCUSDT", "1d", limit, start_ms, end_ms)
        wanted = [
            one
            for one in self.days(PARTS)
            if (start_ms or 0) <= one.open_time_ms and (end_ms is None or one.open_time_ms <= end_ms)
        ]
        assert found.klines == (wanted[-limit:] if start_ms is None else wanted[:limit])
        assert found.parts is not None

    async def test_the_word_of_the_store_counts_for_the_newest_parts(self, archive: SqliteArchive) -> None:
        stored = PARTS[-KEPT:]
        # The day that is over ends among them.
        at = next(n for n, one in enumerate(stored) if (one.open_time_ms + MINUTE_MS) % DAY_MS == 0)
        stored[at] = stored[at]._replace(high="999.5", close="999.5")
        found = await self.store(archive, stored).closed_klines("BTCUSDT", "1d", 400)
        assert (found.klines[-1].high, found.klines[-1].close) == ("999.5", "999.5")
        assert found.klines == self.days([*PARTS[:-KEPT], *stored])

    async def test_an_archive_far_behind_leaves_it_to_the_parts(
        self, archive: SqliteArchive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(aggregating_store, "PARTS_MAX", 300)
        found = await self.store(archive, PARTS[-KEPT:]).closed_klines("BTCUSDT", "1d", 400)
        assert found.klines == []

    async def test_an_archive_that_has_nothing_leaves_it_to_the_parts(self, tmp_path: Path) -> None:
        empty = SqliteArchive(tmp_path / "empty.db")
        found = await self.store(empty, PARTS).closed_klines("BTCUSDT", "1d", 400)
        assert found.klines == self.days(PARTS)
        await empty.aclose()

    async def test_missing_parts_count_as_quiet_where_the_settings_say_so(self, archive: SqliteArchive) -> None:
        stored = [one for number, one in enumerate(PARTS[-KEPT:]) if number % 9]
        empty_days = await self.store(archive, stored, quiet="skip").closed_klines("BTCUSDT", "1d", 400)
        assert [one.open_time_ms for one in empty_days.klines] == [one.open_time_ms for one in self.days(PARTS)]
