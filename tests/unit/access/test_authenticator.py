"""Tokens with real keys and signatures: which are accepted, and which never."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.access.authenticator import Authenticator
from gateway.access.credentials import hash_of, make_key
from gateway.access.grants import TokenRefused
from gateway.config import ConfigError, TokensConfig
from tests.tokens import AUDIENCE, SECRET, Issuer, ec_issuer, key_set, rsa_issuer, secret_issuer

if TYPE_CHECKING:
    from pathlib import Path

RSA, EC, OTHER = rsa_issuer("r1"), ec_issuer("e1"), rsa_issuer("r1")


def with_secret(**more: Any) -> Authenticator:
    return Authenticator(TokensConfig(jwt_algorithm="HS256", jwt_secret=SECRET, audience=AUDIENCE, **more))


def with_key(folder: Path, issuer: Issuer, **more: Any) -> Authenticator:
    path = folder / "key.pem"
    path.write_text(issuer.public_pem)
    algorithm: Any = issuer.algorithm
    return Authenticator(
        TokensConfig(jwt_algorithm=algorithm, jwt_key_file=str(path), **{"audience": AUDIENCE, **more})
    )


def with_set(folder: Path, *keys: dict[str, Any]) -> Authenticator:
    path = folder / "keys.json"
    path.write_text(key_set(*keys))
    return Authenticator(TokensConfig(jwks=str(path), audience=AUDIENCE))


async def refused(authenticator: Authenticator, token: str) -> str:
    with pytest.raises(TokenRefused) as caught:
        await authenticator.verify(token)
    assert not token.strip(".") or token not in str(caught.value), "an error must not contain the token"
    return caught.value.reason


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes = b"") -> str:
    """A token made by hand, as attackers do: signed with HMAC, or with nothing."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    text = b".".join(parts)
    signature = hmac.new(secret, text, hashlib.sha256).digest() if secret else b""
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def claims() -> dict[str, Any]:
    return {"sub": "ann", "aud": AUDIENCE, "exp": int(time.time()) + 300}


class TestAccepted:
    async def test_a_token_signed_with_a_secret(self) -> None:
        assert (await with_secret().verify(secret_issuer().token())).subject == "jwt:ann"

    @pytest.mark.parametrize("issuer", [RSA, EC], ids=["RS256", "ES256"])
    async def test_a_token_verified_by_a_public_key(self, issuer: Issuer, tmp_path: Path) -> None:
        assert (await with_key(tmp_path, issuer).verify(issuer.token())).subject == "jwt:ann"

    @pytest.mark.parametrize("issuer", [RSA, EC], ids=["RS256", "ES256"])
    async def test_a_token_verified_by_a_key_set(self, issuer: Issuer, tmp_path: Path) -> None:
        authenticator = with_set(tmp_path, RSA.jwk(), EC.jwk())
        assert (await authenticator.verify(issuer.token())).subject == "jwt:ann"

    async def test_an_api_key(self) -> None:
        key = make_key(b"k" * 32)
        authenticator = Authenticator(TokensConfig(api_keys=(f"ann:{hash_of(key)}",)))
        assert authenticator.enabled
        assert (await authenticator.verify(key)).subject == "key:ann"
        assert await refused(authenticator, key[:-1]) == "api_key"
        assert await refused(authenticator, secret_issuer().token()) == "key"

    async def test_an_api_key_may_be_any_text(self) -> None:
        for key in ("a.key.with.dots", secret_issuer().token(lives_s=-60), "sb_publishable_1"):
            authenticator = with_secret(api_keys=(f"app:{hash_of(key)}",))
            assert (await authenticator.verify(key)).subject == "key:app"

    def test_without_keys_it_is_disabled(self) -> None:
        assert not Authenticator(TokensConfig()).enabled

    async def test_claims_become_the_grant_and_the_leeway_extends_it(self) -> None:
        token = secret_issuer().token(exp=4_000_000_000, channels=["ticker:*"], messages_per_s=3, jti="t")
        grant = await with_secret(leeway_s=7).verify(token)
        assert (grant.expires_s, grant.messages_per_s, grant.id) == (4_000_000_007, 3, "t")
        assert not grant.allows("kline:BTCUSDT:1m")


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"exp": int(time.time()) - 60}, "expired"),
            ({"exp": None}, "claims"),
            ({"exp": "soon"}, "malformed"),
            ({"nbf": int(time.time()) + 3600}, "not_yet"),
            ({"aud": "somebody else"}, "audience"),
            ({"aud": None}, "claims"),
            ({"iss": "somebody else"}, "issuer"),
            ({"iss": None}, "issuer"),
            ({"sub": None}, "claims"),
            ({"channels": "all"}, "claims"),
        ],
    )
    async def test_wrong_claims(self, changes: dict[str, Any], reason: str) -> None:
        authenticator = with_secret(issuer="us")
        assert await authenticator.verify(secret_issuer().token(iss="us"))
        found = await refused(authenticator, secret_issuer().token(**{"iss": "us", **changes}))
        assert found == reason or (changes.get("iss", "") is None and found == "claims")

    async def test_expiry_beyond_the_leeway(self) -> None:
        token = secret_issuer().token(lives_s=-30)
        assert await with_secret(leeway_s=60).verify(token)
        assert await refused(with_secret(leeway_s=5), token) == "expired"

    async def test_a_wrong_signature(self, tmp_path: Path) -> None:
        for authenticator in (with_key(tmp_path, RSA), with_set(tmp_path, RSA.jwk())):
            assert await refused(authenticator, OTHER.token()) == "signature"
        assert (
            await refused(with_secret(), secret_issuer("another secret of a good length, too").token()) == "signature"
        )

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
    async def test_no_signature(self, algorithm: str, tmp_path: Path) -> None:
        token = forged({"alg": algorithm, "typ": "JWT"}, claims())
        for authenticator in (with_secret(), with_key(tmp_path, RSA), with_set(tmp_path, RSA.jwk())):
            assert await refused(authenticator, token) in ("key", "malformed")

    async def test_a_public_key_used_as_a_secret(self, tmp_path: Path) -> None:
        """Algorithm confusion: a token signed with the public key as the secret of HS256."""
        secrets = (RSA.public_pem.encode(), RSA.public_pem.strip().encode(), json.dumps(RSA.jwk()).encode())
        for secret in secrets:
            token = forged({"alg": "HS256", "typ": "JWT", "kid": "r1"}, claims(), secret)
            for authenticator in (with_key(tmp_path, RSA), with_set(tmp_path, RSA.jwk())):
                assert await refused(authenticator, token) == "key"

    async def test_an_algorithm_that_is_not_the_keys(self, tmp_path: Path) -> None:
        for algorithm in ("RS384", "RS512", "PS256"):
            token = Issuer(algorithm, RSA.key, "r1").token()
            for authenticator in (with_key(tmp_path, RSA), with_set(tmp_path, RSA.jwk())):
                assert await refused(authenticator, token) == "key"
        assert await refused(with_secret(), Issuer("HS512", SECRET * 2).token()) == "key"

    async def test_keys_in_the_token_header_are_ignored(self, tmp_path: Path) -> None:
        headers = {"jwk": OTHER.jwk(), "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/x"}
        assert await refused(with_key(tmp_path, RSA), OTHER.token(headers=headers)) == "signature"

    @pytest.mark.parametrize("kid", [7, None, "", "../../etc/passwd", "e1"])
    async def test_an_unknown_key_name(self, kid: Any, tmp_path: Path) -> None:
        authenticator = with_set(tmp_path, RSA.jwk(), OTHER.jwk(kid="r2"))
        token = forged({"alg": "RS256", "kid": kid}, claims(), b"x")
        assert await refused(authenticator, token) in ("key", "malformed")

    @pytest.mark.parametrize(
        "token",
        ["", ".", "..", "a.b.c", "kg_", "e" * 100_000, "x." * 5000, "\x00.é.\ud800", "eyJhbGciOiJSUzI1NiJ9..", "é"],
    )
    async def test_malformed_tokens(self, token: str, tmp_path: Path) -> None:
        for authenticator in (with_secret(), with_key(tmp_path, RSA), with_set(tmp_path, RSA.jwk())):
            assert await refused(authenticator, token) in ("malformed", "api_key", "signature", "key")


class TestForeign:
    """Whether a refused token is of this gateway: only those of others may count as no token."""

    @staticmethod
    async def foreign(authenticator: Authenticator, token: str) -> bool:
        with pytest.raises(TokenRefused) as caught:
            await authenticator.verify(token)
        return caught.value.foreign

    @pytest.mark.parametrize("text", ["sb_publishable_x1", "made.up.token", "x", "", "..", "é", "e" * 10_000])
    async def test_text_without_a_sign_of_this_gateway(self, text: str) -> None:
        assert await self.foreign(with_secret(), text)

    async def test_a_jwt_of_another_service(self, tmp_path: Path) -> None:
        anon = {"iss": "supabase", "ref": "abc", "role": "anon", "iat": 1, "exp": 4_000_000_000}
        token = forged({"alg": "HS256", "typ": "JWT"}, anon, b"their secret, which is long enough too")
        for authenticator in (with_secret(issuer="us"), with_key(tmp_path, RSA), with_set(tmp_path, RSA.jwk())):
            assert await self.foreign(authenticator, token)

    @pytest.mark.parametrize("text", ["kg_", "kg_unknown", "kg_" + "e" * 10_000, "kg_é"])
    async def test_the_prefix_of_the_api_keys_says_that_it_is_ours(self, text: str) -> None:
        assert not await self.foreign(with_secret(), text)

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": 1000},
            {"exp": "soon"},
            {"exp": 1e400},
            {"aud": "somebody else", "exp": 1000},
            {"aud": None, "iss": "somebody else"},
            {"sub": None, "aud": None, "exp": "soon"},
        ],
        ids=str,
    )
    async def test_what_our_key_has_signed_is_ours_whatever_it_says(self, claims: dict[str, Any]) -> None:
        assert not await self.foreign(with_secret(issuer="us"), secret_issuer().token(**claims))

    async def test_a_wrong_signature_is_ours_where_issuer_audience_or_key_are(self, tmp_path: Path) -> None:
        other = secret_issuer("another secret of a good length, too")
        assert not await self.foreign(with_secret(), other.token())
        assert not await self.foreign(with_secret(), other.token(aud=["a", AUDIENCE]))
        assert not await self.foreign(with_secret(issuer="us"), other.token(iss="us", aud=None))
        assert await self.foreign(with_secret(issuer="us"), other.token(iss="them", aud="theirs"))
        assert not await self.foreign(with_set(tmp_path, RSA.jwk()), OTHER.token(aud=None))
        assert await self.foreign(with_set(tmp_path, EC.jwk()), OTHER.token(aud=None))

    async def test_a_token_that_was_cut_off_is_told_by_its_claims(self) -> None:
        token = secret_issuer().token()
        assert not await self.foreign(with_secret(), token.rpartition(".")[0])
        assert not await self.foreign(with_secret(), token[:-5])


class TestRevoked:
    async def test_listed_tokens_are_refused_and_the_list_is_reread(self, tmp_path: Path) -> None:
        path = tmp_path / "revoked"
        path.write_text("t1\n")
        authenticator = with_secret(revoked_file=str(path))
        first, second = (secret_issuer().token(jti=id) for id in ("t1", "t2"))
        assert await refused(authenticator, first) == "revoked"
        grant = await authenticator.verify(second)
        assert authenticator.read_revocations() is None, "the file is unchanged"

        path.write_text("t1\nt2\n\nt3\n")
        revoked = authenticator.read_revocations()
        assert revoked is not None
        assert revoked(grant)
        assert await refused(authenticator, second) == "revoked"
        assert await authenticator.verify(secret_issuer().token()), "a token without an id cannot be revoked"

    async def test_a_list_that_becomes_unreadable_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "revoked"
        path.write_text("t1")
        authenticator = with_secret(revoked_file=str(path))
        path.unlink()
        assert authenticator.read_revocations() is None
        assert await refused(authenticator, secret_issuer().token(jti="t1")) == "revoked"

    def test_a_missing_list_is_a_config_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"tokens\.revoked_file: cannot be read"):
            with_secret(revoked_file=str(tmp_path / "none"))


class TestConfigErrors:
    @pytest.mark.parametrize(
        ("algorithm", "text", "message"),
        [
            ("HS256", "too short", "the secret must have at least 32 bytes"),
            ("HS256", RSA.public_pem, "a public key is not a secret"),
            ("RS256", "no key", "not a public key for RS256 in PEM"),
            ("RS256", EC.public_pem, "not a public key for RS256 in PEM"),
            ("ES256", RSA.public_pem, "not a public key for ES256 in PEM"),
            ("ES256", ec_issuer(curve=ec.SECP384R1()).public_pem, "not a public key for ES256 in PEM"),
            ("RS256", RSA.private_pem, "this is a private key; the gateway only verifies and needs the public key"),
            ("RS256", rsa_issuer(bits=1024).public_pem, "shorter than 2048 bits"),
        ],
    )
    def test_an_unusable_key_is_a_config_error(self, algorithm: Any, text: str, message: str, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_text(text)
        with pytest.raises(ConfigError, match=message) as caught:
            Authenticator(TokensConfig(jwt_algorithm=algorithm, jwt_key_file=str(path), audience=AUDIENCE))
        assert text not in str(caught.value)

    def test_a_missing_key_file_is_a_config_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"tokens\.jwt_key_file: cannot be read: No such file"):
            Authenticator(TokensConfig(jwt_key_file=str(tmp_path / "none"), audience=AUDIENCE))
