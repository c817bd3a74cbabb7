"""Which pages may open a stream."""

from __future__ import annotations

import pytest

from gateway.access.origins import Origin, OriginRule, parse_origin

HOST = "gateway.example"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example", Origin("https", "app.example", 443)),
        ("http://APP.example:80", Origin("http", "app.example", 80)),
        ("http://[::1]:8000", Origin("http", "::1", 8000)),
        ("null", None),
        ("", None),
        ("app.example", None),
        ("file://", Origin("file", "", 0)),
        ("app://-", Origin("app", "-", 0)),
        ("Capacitor://localhost:8080", Origin("capacitor", "localhost", 8080)),
        ("file:///", None),
        ("https://", None),
        ("://app.example", None),
        ("https://app.example/", None),
        ("https://app.example?x", None),
        ("https://app.example#x", None),
        ("https://user@app.example", None),
        ("https://app.example:port", None),
        ("https://app.example:99999", None),
        ("https://[::1", None),
    ],
)
def test_an_origin_is_scheme_host_and_port_only(text: str, origin: Origin | None) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize("patterns", [(), ("self",), ("https://app.example",), ("*",)])
def test_a_client_without_an_origin_is_admitted(patterns: tuple[str, ...]) -> None:
    assert OriginRule(patterns).admits(None, HOST)


@pytest.mark.parametrize(
    ("origin", "host", "admitted"),
    [
        ("https://gateway.example", HOST, True),
        ("http://gateway.example", HOST, True),
        ("https://gateway.example", "gateway.example:443", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://127.0.0.1:8001", "127.0.0.1:8000", False),
        ("https://gateway.example", "gateway.example:80", False),
        ("https://other.example", HOST, False),
        ("https://gateway.example.evil.example", HOST, False),
        ("https://gateway.example", "", False),
        ("null", HOST, False),
        ("null", "null", False),
        ("app://gateway.example", HOST, False),
        ("file://", "", False),
    ],
)
def test_self_admits_pages_of_the_same_host(origin: str, host: str, admitted: bool) -> None:
    assert OriginRule(["self"]).admits(origin, host) is admitted


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("http://localhost:5173", True),
        ("http://127.0.0.1:3000", True),
        ("http://[::1]:3000", True),
        ("https://localhost", True),
        ("http://localhost.evil.example:5173", False),
        ("https://other.example", False),
        ("app://localhost", False),
        ("null", False),
    ],
)
def test_where_nobody_else_gets_in_self_admits_pages_of_this_machine(origin: str, admitted: bool) -> None:
    assert OriginRule(["self"], own_machine=True).admits(origin, "127.0.0.1:8000") is admitted
    assert not OriginRule([], own_machine=True).admits(origin, "127.0.0.1:8000")


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("https://app.example.com", True),
        ("https://APP.example.com:443", True),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://a.wide.example", True),
        ("https://a.b.wide.example", True),
        ("https://wide.example", False),
        ("https://evilwide.example", False),
        ("https://a.wide.example.evil.example", False),
        ("http://a.wide.example", False),
        ("http://a.port.example:8080", True),
        ("http://a.port.example", False),
        (f"https://{HOST}", False),
        ("null", False),
    ],
)
def test_a_list_is_exact_except_for_wildcards(origin: str, admitted: bool) -> None:
    rule = OriginRule(["https://app.example.com", "https://*.wide.example", "http://*.port.example:8080"])
    assert rule.admits(origin, HOST) is admitted


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("capacitor://localhost", True),
        ("app://-", True),
        ("file://", True),
        ("null", True),
        ("capacitor://localhost:1", False),
        ("app://x", False),
        ("tauri://localhost", False),
        ("NULL", False),
    ],
)
def test_pages_in_apps_are_listed_by_their_origin(origin: str, admitted: bool) -> None:
    rule = OriginRule(["capacitor://localhost", "app://-", "file://", "null"])
    assert rule.admits(origin, HOST) is admitted


def test_a_lone_star_admits_any_origin() -> None:
    assert OriginRule(["*"]).admits("null", HOST)


def test_an_empty_list_admits_no_page() -> None:
    assert not OriginRule([]).admits(f"https://{HOST}", HOST)


@pytest.mark.parametrize(
    "pattern", ["app.example", "https://*", "https://a.*.example", "https://*.*.example", "https://"]
)
def test_an_invalid_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        OriginRule([pattern])
