from __future__ import annotations

import pytest
from starlette.requests import Request

from gateway.http.parameters import misspelled, unusable

KNOWN = ("symbol", "interval", "limit", "startTime")


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


@pytest.mark.parametrize("query", ["", "symbol=A", "symbol=A&limit=1&interval=1m&startTime=0"])
def test_known_parameters_are_usable(query: str) -> None:
    assert unusable(request(query), KNOWN) is None


@pytest.mark.parametrize(
    ("query", "field", "hint"),
    [
        ("symbols=A", "symbol", "symbol"),
        ("intervall=1m", "intervall", "interval"),
        ("start_time=0", "start_time", "startTime"),
        ("STARTTIME=0", "STARTTIME", "startTime"),
        ("start-time=0", "start-time", "startTime"),
    ],
)
def test_an_unknown_parameter_is_an_error_with_the_nearest_name(query: str, field: str, hint: str) -> None:
    error = unusable(request(query), KNOWN)
    assert error is not None
    assert error.message.startswith(field)
    assert error.message.endswith(f"did you mean {hint!r}?")
    assert "expected symbol, interval, limit, startTime" in error.message


def test_a_name_that_is_like_none_is_an_error_without_a_hint() -> None:
    error = unusable(request("x" * 5000 + "=1"), KNOWN)
    assert error is not None
    assert error.details == {"field": "x" * 40}
    assert "did you mean" not in error.message


def test_a_route_without_parameters_says_so() -> None:
    error = unusable(request("symbol=A"), ())
    assert error is not None
    assert error.message == "symbol: unknown parameter; there are none here"


def test_a_repeated_parameter_is_an_error() -> None:
    error = unusable(request("symbol=A&limit=1&symbol=B"), KNOWN)
    assert error is not None
    assert error.message == "symbol: given more than once"


def test_only_misspelled_names_are_refused_where_clients_add_their_own() -> None:
    assert misspelled(request("symbol=A&currencyCode=USD&_=123"), KNOWN) is None
    assert (
        misspelled(request("symbol=A&intervall=1"), KNOWN) == "intervall: unknown parameter; did you mean 'interval'?"
    )
