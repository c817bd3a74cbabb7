from __future__ import annotations

import tomllib

from gateway.config.toml import to_toml


def test_truth_values_are_tomls() -> None:
    assert to_toml({"a": {"b": True}, "c": {"d": False}}) == "[a]\nb = true\n\n[c]\nd = false\n"


def test_what_is_written_is_read_the_same() -> None:
    table = {
        "a": {"sizes": {"AAA": "0.01", "B.B": "5"}, "none": {}, "list": ["x", 1, 2.5], "text": 'q"\x7f\n\u20ac'},
        "b": {},
    }
    assert tomllib.loads(to_toml(table)) == table


def test_sections_in_sections_have_both_names() -> None:
    assert to_toml({"a": {"x": {"n": 1}, "m": 2}}) == "[a]\nm = 2\n\n[a.x]\nn = 1\n"
