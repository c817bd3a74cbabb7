"""The facts about Binance: each says where and when it was read, and its value has the form that its name promises."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

import collector
from collector.binance.facts import SPOT, USDM, load

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(collector.__file__).parent / "binance" / "facts.toml"
GROUPS: dict[str, dict[str, dict[str, Any]]] = tomllib.loads(FILE.read_text(encoding="utf-8"))
FACTS = {f"{group}.{name}": fact for group, facts in GROUPS.items() for name, fact in facts.items()}
REQUIRED, OPTIONAL = {"value", "source", "read"}, {"as_of", "note", "witness"}
UNKNOWN = "not documented"


def leaves(value: Any) -> Iterator[Any]:
    """All strings and numbers of a value, however deep."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


def fits_name(name: str, value: Any) -> bool:
    """Whether the value has the form that the end of a fact's name promises."""
    known = [each for each in leaves(value) if each != UNKNOWN]
    if name.endswith(("_url", "_urls")):
        schemes = {"ws", "wss"} if ".ws_" in name else {"https"}
        urls = [urlsplit(each) for each in known]
        return all(url.scheme in schemes and url.hostname and not url.query and url.path[-1:] != "/" for url in urls)
    if name.endswith("_path"):
        return all(each.startswith("/") and " " not in each for each in known)
    if name.endswith(("_ms", "_s", "_weight", "_weight_all", "_rows", "_minute", "_minutes", "_window", "_connection")):
        return all(isinstance(each, int) for each in known)
    if name.endswith("_status"):
        return all(isinstance(each, int) and 400 <= each < 600 for each in known)
    if name.endswith("_date"):
        return all(date.fromisoformat(each) for each in known)
    return bool(known) or value == UNKNOWN


def test_facts_are_grouped_by_market() -> None:
    assert list(GROUPS) == ["spot", "usdm", "terms"]


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_has_a_value_a_source_and_the_day_it_was_read(name: str) -> None:
    fact = FACTS[name]
    assert fact.keys() >= REQUIRED
    assert fact.keys() <= REQUIRED | OPTIONAL
    assert type(fact["read"]) is date
    assert fact.get("as_of", fact["read"]) <= fact["read"]
    assert fact.get("note", "x").strip()


@pytest.mark.parametrize("name", FACTS)
def test_sources_are_links(name: str) -> None:
    for key in ("source", "witness"):
        link = urlsplit(FACTS[name].get(key, "https://host/"))
        assert link.scheme == "https"
        assert link.hostname
        assert " " not in link.geturl()
    assert FACTS[name]["source"] != FACTS[name].get("witness")


@pytest.mark.parametrize("name", FACTS)
def test_a_value_has_the_form_that_its_name_promises(name: str) -> None:
    value = FACTS[name]["value"]
    assert value not in ([], {}, "")
    assert all(each > 0 if isinstance(each, int) else each.strip() for each in leaves(value))
    assert fits_name(name, value), value


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_weights_grow_with_what_is_asked_for(market: str) -> None:
    for name, fact in GROUPS[market].items():
        if name.endswith("_weight") and isinstance(fact["value"], list):
            bands = [tuple(band.values()) for band in fact["value"]]
            assert bands == sorted(bands)
            assert len({weight for _, weight in bands}) == len(bands)


def test_the_last_band_of_klines_reaches_the_most_rows() -> None:
    usdm = GROUPS["usdm"]
    assert usdm["klines_weight"]["value"][-1]["limit_max"] == usdm["klines_max_rows"]["value"]


def test_the_markets_differ_in_the_fields_that_are_named_as_their_own() -> None:
    spot, usdm = (GROUPS[market]["ticker_fields"]["value"].keys() for market in ("spot", "usdm"))
    assert spot - usdm == set(GROUPS["usdm"]["ticker_fields_only_spot_has"]["value"])
    assert usdm - spot == set(GROUPS["usdm"]["ticker_fields_only_usdm_has"]["value"])


def test_only_spot_has_klines_of_a_second() -> None:
    assert GROUPS["spot"]["intervals"]["value"] == ["1s", *GROUPS["usdm"]["intervals"]["value"]]


def test_no_stream_of_futures_is_served_on_two_paths() -> None:
    market, public = (set(GROUPS["usdm"][f"ws_{path}_streams"]["value"]) for path in ("market", "public"))
    assert not market & public
    assert {"<symbol>@kline_<interval>", "<symbol>@miniTicker", "<symbol>@ticker"} <= market


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spot.ws_base_urls", ["https://stream.binance.com"]),
        ("spot.rest_base_url", "https://api.binance.com/"),
        ("spot.rest_base_url", "api.binance.com"),
        ("spot.klines_path", "api/v3/klines"),
        ("spot.ping_interval_s", "20"),
        ("spot.banned_status", 200),
    ],
)
def test_a_value_of_another_form_is_found(name: str, value: Any) -> None:
    assert not fits_name(name, value)


def test_the_venues_differ_in_addresses_and_limits() -> None:
    spot, usdm = load(SPOT), load(USDM)
    assert spot.rest_url != usdm.rest_url
    assert spot.stream_url != usdm.stream_url
    assert (spot.perpetual_only, usdm.perpetual_only) == (False, True)


def test_questions_at_spot_weigh_the_same_and_at_futures_by_their_rows() -> None:
    spot, usdm = load(SPOT), load(USDM)
    assert spot.weight_of_klines(1) == spot.weight_of_klines(spot.rows_max) == 2
    assert usdm.weight_of_klines(1) < usdm.weight_of_klines(usdm.rows_max)


def test_futures_are_asked_for_as_many_rows_as_are_cheap() -> None:
    usdm = load(USDM)
    assert usdm.rows_max == 499
    assert usdm.weight_of_klines(499) < usdm.weight_of_klines(500)
