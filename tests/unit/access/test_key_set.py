"""Public keys of an issuer, and how they are reread."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.access.key_set import RETRY_S, KeySet, KeySetError, parse_key_set
from tests.tokens import ec_issuer, key_set, rsa_issuer

if TYPE_CHECKING:
    from pathlib import Path

RSA, EC = rsa_issuer("r1"), ec_issuer("e1")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class TestDocument:
    def test_each_key_is_for_one_algorithm(self) -> None:
        found = parse_key_set(key_set(RSA.jwk(), EC.jwk(alg="ES256", use="sig")).encode())
        assert set(found) == {("RS256", "r1"), ("ES256", "e1")}

    def test_keys_for_other_uses_are_ignored(self) -> None:
        others = [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "o"},
            {"kty": "OKP", "crv": "Ed25519", "kid": "k"},
            RSA.jwk(use="enc", kid="enc"),
            RSA.jwk(alg="RS512", kid="512"),
            EC.jwk(crv="P-384", kid="384"),
        ]
        assert set(parse_key_set(key_set(RSA.jwk(), *others).encode())) == {("RS256", "r1")}

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"[]",
            b"{}",
            b'{"keys":7}',
            b'{"keys":[7]}',
            b'{"keys":[]}',
            b'{"keys":[{"kty":[]}]}',
            key_set({"kty": "oct", "k": "c2VjcmV0"}).encode(),
            key_set({"kty": "RSA", "kid": "r"}).encode(),
            key_set({"kty": "RSA", "n": "AQ", "e": "AQAB"}).encode(),
            key_set(rsa_issuer(bits=1024).jwk()).encode(),
            key_set({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}).encode(),
        ],
    )
    def test_a_document_without_usable_keys_is_an_error(self, text: bytes) -> None:
        with pytest.raises(KeySetError):
            parse_key_set(text)

    def test_a_key_on_another_curve_is_refused(self) -> None:
        wrong = ec_issuer("e1", ec.SECP384R1()).jwk(crv="P-256")
        with pytest.raises(KeySetError):
            parse_key_set(key_set(wrong).encode())


class TestChanging:
    async def test_keys_are_reread_when_old_and_when_one_is_missing(self, tmp_path: Path) -> None:
        path, clock = tmp_path / "keys.json", Clock()
        path.write_text(key_set(RSA.jwk()))
        keys = KeySet(str(path), 300, clock)
        assert await keys.find("RS256", "r1")
        assert await keys.find("RS256", None), "the only one goes without a name"
        assert await keys.find("ES256", "r1") is None

        path.write_text(key_set(RSA.jwk(kid="r2"), EC.jwk()))
        assert await keys.find("RS256", "r1"), "still kept"
        assert await keys.find("RS256", "r2") is None, "it was read a moment ago"
        clock.now_s += RETRY_S
        assert await keys.find("RS256", "r2"), "a new name makes it read again"
        assert await keys.find("RS256", "r1") is None, "and what is gone is gone"

        path.write_text(key_set(EC.jwk()))
        clock.now_s += 300
        assert await keys.find("RS256", "r2") is None, "old keys are read again without being asked"

    async def test_a_token_must_name_one_of_several_keys(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        path.write_text(key_set(RSA.jwk(), RSA.jwk(kid="r2")))
        assert await KeySet(str(path), 300, Clock()).find("RS256", None) is None

    async def test_the_previous_keys_are_kept_while_the_issuer_is_unreachable(self, tmp_path: Path) -> None:
        path, clock = tmp_path / "keys.json", Clock()
        path.write_text(key_set(RSA.jwk()))
        keys = KeySet(str(path), 300, clock)
        assert await keys.find("RS256", "r1")
        for text in (None, "<html>", json.dumps({"keys": []})):
            path.unlink() if text is None else path.write_text(text)
            clock.now_s += 400
            assert await keys.find("RS256", "r1")

    async def test_concurrent_callers_share_one_read_and_cancelling_one_keeps_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "keys.json"
        path.write_text(key_set(RSA.jwk()))
        keys = KeySet(str(path), 300, Clock())
        readings = 0
        fetch: Any = keys._fetch

        def counted() -> bytes:
            nonlocal readings
            readings += 1
            text: bytes = fetch()
            return text

        monkeypatch.setattr(keys, "_fetch", counted)
        waiting = [asyncio.create_task(keys.find("RS256", "r1")) for _ in range(20)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert all(found[1:])
        assert readings == 1
