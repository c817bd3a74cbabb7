from __future__ import annotations

from pathlib import Path

from loadtest.compare.peer_process import available, nats_settings
from loadtest.tested_server import Certificate


def test_an_environment_that_is_not_there_has_no_peers(tmp_path: Path) -> None:
    assert available(tmp_path) == {}


def test_nats_has_tls_where_there_is_a_certificate() -> None:
    plain = nats_settings(1, 2, None)
    secured = nats_settings(1, 2, Certificate(Path("chain.pem"), Path("key.pem")))

    assert 'listen: "127.0.0.1:1"' in plain
    assert 'listen: "127.0.0.1:2"' in plain
    assert "no_tls: true" in plain
    assert 'tls { cert_file: "chain.pem", key_file: "key.pem" }' in secured
    assert "no_tls" not in secured
