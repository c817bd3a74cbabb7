"""The facts of `facts.toml` that the code needs, by venue."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

SPOT = "binance"
USDM = "binance-usdm"

FILE = Path(__file__).with_name("facts.toml")


class Facts(NamedTuple):
    """What the documents say of one venue. Weights are those of one question."""

    title: str
    perpetual_only: bool
    rest_url: str
    stream_url: str
    klines_path: str
    exchange_info_path: str
    ticker_24hr_path: str
    streams_per_connection: int
    connects: int
    connects_window_s: int
    messages_per_s: int
    lifetime_s: int
    ping_s: int
    weight_per_minute: int
    rows_max: int
    klines_weight: tuple[tuple[int, int], ...]
    """Most rows, weight: ascending."""
    exchange_info_weight: int
    ticker_24hr_weight: int
    intervals: tuple[str, ...]
    terms_url: str
    attribution_url: str

    def weight_of_klines(self, rows: int) -> int:
        """Weight of a question for so many klines."""
        return next(weight for limit, weight in self.klines_weight if rows <= limit)


def load(name: str) -> Facts:
    """The facts of a venue, `SPOT` or `USDM`."""
    every = tomllib.loads(FILE.read_text(encoding="utf-8"))
    is_spot = name == SPOT
    venue = {key: fact["value"] for key, fact in every["spot" if is_spot else "usdm"].items()}
    # Where the documents of one venue are silent, the limit of the other is a careful choice.
    spot = {key: fact["value"] for key, fact in every["spot"].items()}
    terms = {key: fact["value"] for key, fact in every["terms"].items()}
    # 499 rows cost two fifths of what 500 cost at USD-M, and are as many as a history needs.
    rows_max = venue["klines_max_rows"] if is_spot else _cheapest_rows(venue["klines_weight"])
    return Facts(
        title="Binance" if is_spot else "Binance USDⓈ-M Futures",
        perpetual_only=not is_spot,
        rest_url=venue["rest_market_data_base_url"] if is_spot else venue["rest_base_url"],
        stream_url=venue["ws_market_data_base_url"] if is_spot else venue["ws_market_base_url"],
        klines_path=venue["klines_path"],
        exchange_info_path=venue["exchange_info_path"],
        ticker_24hr_path=venue["ticker_24hr_path"],
        streams_per_connection=venue["streams_per_connection"],
        connects=spot["connects_per_window"],
        connects_window_s=spot["connects_window_s"],
        messages_per_s=venue["messages_in_per_s"],
        lifetime_s=venue["connection_lifetime_s"],
        ping_s=venue["ping_interval_s"],
        weight_per_minute=venue["weight_per_minute"],
        rows_max=rows_max,
        klines_weight=_weights(venue["klines_weight"], venue["klines_max_rows"]),
        exchange_info_weight=venue["exchange_info_weight"],
        ticker_24hr_weight=venue["ticker_24hr_weight_all"],
        intervals=tuple(venue["intervals"]),
        terms_url=terms["terms_of_use_url"],
        attribution_url=terms["attribution_url"],
    )


def _weights(value: Any, rows_max: int) -> tuple[tuple[int, int], ...]:
    if isinstance(value, int):
        return ((rows_max, value),)
    return tuple((step["limit_max"], step["weight"]) for step in value)


def _cheapest_rows(steps: Any) -> int:
    best: int = max(steps, key=lambda step: step["limit_max"] / step["weight"])["limit_max"]
    return best
