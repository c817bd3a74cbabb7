from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from loadtest.scenario import SCENARIOS, Scenario, ScenarioError, load

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = 'title = "t"\n[[phases]]\nname = "p"\nseconds = 1\n'


def written(folder: Path, text: str) -> str:
    path = folder / "case.toml"
    path.write_text(MINIMAL + text)
    return str(path)


@pytest.mark.parametrize("name", sorted(path.stem for path in SCENARIOS.glob("*.toml")))
def test_the_scenarios_that_come_with_the_harness_are_valid(name: str) -> None:
    scenario = load(name)

    assert scenario.clients.count > 0
    assert len(set(scenario.watchlist(scenario.clients.count - 1))) == scenario.clients.tickers


def test_the_mission_has_its_documented_numbers() -> None:
    mission = load("mission")

    assert (mission.clients.count, mission.clients.tickers, mission.feed.symbols, mission.feed.rate) == (
        1000, 100, 300, 10,
    )  # fmt: skip
    assert mission.phases[0].seconds == 60
    assert len({tuple(mission.watchlist(client)) for client in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[feed]\nrates = 1\n", "rates"),
        ("[clients]\ncount = -1\n", "count"),
        ("[feed]\nintervals = ['1M']\n", "1M"),
        ("[feed]\nintervals = ['7m']\n", "7m"),
        ("[clients]\ntickers = 301\n", "clients.tickers"),
        ("[clients]\nklines = 1\n", "clients.klines"),
        ("[feed]\nsymbols = 5\nkline_symbols = 6\n", "feed.kline_symbols"),
        ("[clients]\ncount = 10\nsteps = [5, 4, 10]\n", "clients.steps"),
        ("[clients]\ncount = 10\nsteps = [5]\n", "clients.steps"),
        ("[clients]\nslow = 0.6\nstalled = 0.6\n", "clients.slow"),
        ("[feed]\nkline_symbols = 2\n[clients]\nklines = 1\ndialect = 'compact'\n", "clients.decoded"),
        ("[clients]\ndialect = 'other'\n", "dialect"),
        ("[attackers]\nunheard_of = 1\n", "attackers.unheard_of"),
        ("[feed]\nkline_symbols = 2\n[clients]\nklines = 1\ndialect = 'binance'\n", "clients.klines"),
        ("[feed]\nkline_symbols = 2\n[clients]\nklines = 1\ndialect = 'nats'\n", "clients.klines"),
        ("[clients]\ntickers = 2\none_each = true\n", "clients.one_each"),
        ("[clients]\nfast_tickers = 301\n", "clients.fast_tickers"),
    ],
)
def test_an_invalid_key_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ScenarioError, match=named):
        load(written(tmp_path, text))


def test_a_scenario_needs_a_phase(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text('title = "t"\nphases = []\n')

    with pytest.raises(ScenarioError, match="phases"):
        load(str(path))


def test_a_missing_or_invalid_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        load("no_such_scenario")
    with pytest.raises(ScenarioError, match="not valid TOML"):
        load(written(tmp_path, "[[["))


def test_keys_can_be_overridden(tmp_path: Path) -> None:
    path = written(tmp_path, "[clients]\ncount = 5\n")

    scenario = load(
        path, ("clients.count=7", "title=two words", "feed.intervals=['1m']", "gateway.stream.flush_max_ms=20")
    )

    assert scenario.clients.count == 7
    assert scenario.title == "two words"
    assert scenario.feed.intervals == ("1m",)
    assert scenario.gateway == {"stream": {"flush_max_ms": 20}}


@pytest.mark.parametrize("override", ["clients.count", "title.x=1", "clients.counts=1"])
def test_an_override_of_an_unknown_key_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ScenarioError):
        load(written(tmp_path, ""), (override,))


def scenario(**clients: float) -> Scenario:
    return load("mission", tuple(f"clients.{key}={value}" for key, value in clients.items()))


def test_watchlists_are_the_same_in_every_process_and_shared_as_asked() -> None:
    lists = scenario(watchlists=10)

    assert lists.watchlist(3) == scenario(watchlists=10).watchlist(3) == lists.watchlist(13)
    assert lists.watchlist(3) != lists.watchlist(4)
    assert len(set(lists.watchlist(3))) == 100


def test_kline_lists_are_drawn_from_the_symbols_with_klines() -> None:
    drawn = load("smoke").kline_list(1)

    assert len(set(drawn)) == 5
    assert max(drawn) < 30


def test_kinds_have_their_shares_in_every_part_of_the_swarm() -> None:
    mixed = scenario(slow=0.2, stalled=0.05)

    for part in range(2):
        kinds = Counter(mixed.kind(client) for client in range(part, 1000, 2))
        assert kinds["stalled"] == pytest.approx(25, abs=3)
        assert kinds["slow"] == pytest.approx(100, abs=5)


def test_the_configured_share_and_slow_clients_decode() -> None:
    mixed = scenario(slow=0.2, stalled=0.05, decoded=0.1)
    decoding = Counter(mixed.kind(client) for client in range(1000) if mixed.decodes(client))

    assert decoding["slow"] == sum(mixed.kind(client) == "slow" for client in range(1000))
    assert decoding["stalled"] == 0
    assert decoding["normal"] == pytest.approx(75, abs=10)


def test_symbols_have_names_that_the_gateway_accepts() -> None:
    assert scenario().symbols[:2] == ["S000USDT", "S001USDT"]


def test_clients_may_follow_one_symbol_each(tmp_path: Path) -> None:
    scenario = load(written(tmp_path, "[feed]\nsymbols = 3\n[clients]\ncount = 5\ntickers = 1\none_each = true\n"))

    assert [scenario.watchlist(client) for client in range(5)] == [[0], [1], [2], [0], [1]]


def test_all_symbols_have_names_of_one_length(tmp_path: Path) -> None:
    few, many = (load(written(tmp_path, f"[feed]\nsymbols = {count}\n")).symbols for count in (10, 2400))

    assert (few[0], few[-1]) == ("S000USDT", "S009USDT")
    assert (many[0], many[-1]) == ("S0000USDT", "S2399USDT")


def test_the_first_clients_are_fast_and_decode_everything(tmp_path: Path) -> None:
    text = "[clients]\ncount = 4\ntickers = 5\nfast = 2\nfast_tickers = 1\ndecoded = 0\n"
    scenario = load(written(tmp_path, text))

    assert [scenario.is_fast(client) for client in range(4)] == [True, True, False, False]
    assert [scenario.decodes(client) for client in range(4)] == [True, True, False, False]
    assert [len(scenario.watchlist(client)) for client in range(4)] == [1, 1, 5, 5]


def test_a_fast_client_that_never_reads_decodes_nothing(tmp_path: Path) -> None:
    assert not load(written(tmp_path, "[clients]\ncount = 1\nfast = 1\nstalled = 1.0\n")).decodes(0)
