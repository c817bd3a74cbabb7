"""Client addresses. Proxies and attackers send the same headers: only trusted proxies count."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gateway.access.peers import LOCAL, Networks, client_address, group_of, parse_address

PROXIES = Networks(["10.0.0.0/8", "fd00::/8", "192.0.2.1"])
XFF, RFC7239 = "x-forwarded-for", "forwarded"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7:4711 ", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_addresses_in_the_forms_of_headers(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


@pytest.mark.parametrize("text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5:1", "[1::2", "300.1.1.1", "a.example"])
def test_texts_that_are_not_addresses(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        pytest.param("203.0.113.7", ["198.51.100.9"], "203.0.113.7", id="a stranger is not believed"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy that says nothing"),
        pytest.param("10.0.0.1", ["198.51.100.9"], "198.51.100.9", id="a proxy is believed"),
        pytest.param("192.0.2.1", ["198.51.100.9"], "198.51.100.9", id="a single address is a network too"),
        pytest.param("10.0.0.1", ["1.1.1.1, 198.51.100.9"], "198.51.100.9", id="what the client wrote in front is not"),
        pytest.param("10.0.0.1", ["1.1.1.1", "198.51.100.9"], "198.51.100.9", id="nor in a header of its own"),
        pytest.param("10.0.0.1", ["1.1.1.1, 198.51.100.9, 10.9.9.9"], "198.51.100.9", id="two proxies in a row"),
        pytest.param("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2", id="somebody inside"),
        pytest.param("10.0.0.1", ["10.0.0.3, 1.1.1.1, bogus"], "10.0.0.1", id="what is no address ends it"),
        pytest.param("10.0.0.1", ["1.1.1.1, , 10.0.0.3"], "10.0.0.3", id="so does nothing"),
        pytest.param("fd00::1", ["2001:db8::5"], "2001:db8::5", id="IPv6"),
    ],
)
def test_x_forwarded_for_is_read_from_its_end_through_trusted_proxies(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert client_address(peer, forwarded, XFF, PROXIES) == ip_address(client)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (['for=198.51.100.9;proto=https, For="[fd00::7]:1234"'], "198.51.100.9"),
        (['proto=https;for="[2001:db8::5]:443"'], "2001:db8::5"),
        (["for=1.1.1.1, for=unknown"], "10.0.0.1"),
        (["for=1.1.1.1, proto=https"], "10.0.0.1"),
        (["xfor=1.1.1.1"], "10.0.0.1"),
    ],
)
def test_forwarded_is_read_in_the_same_way(forwarded: list[str], client: str) -> None:
    assert client_address("10.0.0.1", forwarded, RFC7239, PROXIES) == ip_address(client)


def test_without_trusted_proxies_headers_are_ignored() -> None:
    assert not Networks([])
    assert PROXIES
    assert client_address("127.0.0.1", ["1.1.1.1"], XFF, Networks([])) == ip_address("127.0.0.1")


def test_a_unix_socket_has_no_address() -> None:
    assert client_address("", ["1.1.1.1"], XFF, PROXIES) is None
    assert group_of(None) == LOCAL


@pytest.mark.parametrize(
    ("address", "group"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64")],
)
def test_limits_count_ipv4_addresses_and_ipv6_networks(address: str, group: str) -> None:
    assert group_of(ip_address(address)) == group


def test_an_invalid_network_is_refused() -> None:
    with pytest.raises(ValueError, match="host bits"):
        Networks(["10.0.0.1/8"])
