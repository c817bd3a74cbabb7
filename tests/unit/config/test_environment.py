from __future__ import annotations

from typing import Any

import pytest

from gateway.config.environment import apply_environment


def applied(environ: dict[str, str], data: dict[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    data = {} if data is None else data
    return data, list(apply_environment(data, environ))


def test_a_variable_overrides_its_key() -> None:
    assert applied({"GATEWAY_SERVER__PORT": "1"}, {"server": {"port": 2, "host": "h"}}) == (
        {"server": {"port": 1, "host": "h"}},
        [],
    )


def test_a_source_has_a_name_of_the_operators() -> None:
    assert applied({"GATEWAY_SOURCES__MAIN__URL": "redis://a"})[0] == {"sources": {"main": {"url": "redis://a"}}}


def test_lists_and_tables_are_comma_separated() -> None:
    environ = {"GATEWAY_MARKET__INTERVALS": "1m, 5m", "GATEWAY_DIALECTS__TICK_SIZES": "A=1, B=0.1"}
    assert applied(environ)[0] == {
        "market": {"intervals": ("1m", "5m")},
        "dialects": {"tick_sizes": {"A": "1", "B": "0.1"}},
    }


@pytest.mark.parametrize("name", ["GATEWAY_SOURCES__URL", "GATEWAY_SERVER__PORT__X", "GATEWAY_NONE__X", "GATEWAY_"])
def test_a_variable_that_is_no_setting_is_refused(name: str) -> None:
    data, (mistake,) = applied({name: "1"})
    assert mistake.startswith(f"{name}: no such setting")
    assert data == {}


def test_a_section_that_is_a_value_is_refused() -> None:
    assert applied({"GATEWAY_SERVER__PORT": "1"}, {"server": 1})[1] == ["server: expected a section of keys"]


def test_text_of_another_type_is_refused() -> None:
    assert applied({"GATEWAY_SERVER__PORT": "http"})[1] == ["GATEWAY_SERVER__PORT: Expected `int`, got `str`"]


def test_service_links_and_other_variables_are_ignored() -> None:
    assert applied({"GATEWAY_PORT": "tcp://10.0.0.1:80", "HOME": "/", "gateway_server__port": "1"}) == ({}, [])
