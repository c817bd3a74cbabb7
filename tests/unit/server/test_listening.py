"""Binding addresses, naming them, and checking certificates before the server starts."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, cast

import pytest

from gateway.config import ConfigError, ServerConfig
from gateway.server.listening import address_of, bind, check_tls

if TYPE_CHECKING:
    from pathlib import Path


class FakeSocket:
    def __init__(self, *name: object) -> None:
        self._name = name

    def getsockname(self) -> tuple[object, ...]:
        return self._name


@pytest.mark.parametrize(
    ("name", "url"),
    [
        pytest.param(("10.0.0.7", 8000), "http://10.0.0.7:8000", id="IPv4"),
        pytest.param(("0.0.0.0", 8000), "http://127.0.0.1:8000", id="all of IPv4"),
        pytest.param(("::", 8000, 0, 0), "http://[::1]:8000", id="all of IPv6"),
        pytest.param(("fe80::1", 8000, 0, 0), "http://[fe80::1]:8000", id="IPv6"),
    ],
)
def test_the_url_of_a_socket_can_be_opened_on_this_machine(name: tuple[object, ...], url: str) -> None:
    assert address_of(cast("socket.socket", FakeSocket(*name))) == url


def test_the_url_has_the_given_scheme() -> None:
    assert address_of(cast("socket.socket", FakeSocket("10.0.0.7", 443)), "https") == "https://10.0.0.7:443"


def test_a_bound_socket_does_not_listen_yet() -> None:
    with bind("127.0.0.1", 0) as sock:
        assert sock.getsockname()[1] > 0
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


def test_a_shared_address_can_be_bound_twice() -> None:
    with bind("127.0.0.1", 0, share=True) as first, bind("127.0.0.1", first.getsockname()[1], share=True) as second:
        assert first.getsockname() == second.getsockname()


def test_an_address_in_use_is_an_error_that_names_it() -> None:
    with bind("127.0.0.1", 0) as sock:
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            bind("127.0.0.1", port)


def test_without_a_certificate_there_is_nothing_to_check() -> None:
    check_tls(ServerConfig())


def test_an_unusable_certificate_is_an_error_that_names_the_settings(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(ConfigError, match=r"server\.tls_certificate, server\.tls_key: cannot be used"):
        check_tls(ServerConfig(tls_certificate=missing, tls_key=missing))
