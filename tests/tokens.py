"""Issuers of tokens: keys made for a test, and JWTs signed with them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "kline-gateway"
SECRET = "a secret that is long enough for HS256, of course"


@dataclass
class Issuer:
    """`key`: what it signs with; `kid`: how that is called in the key set."""

    algorithm: str
    key: Any
    kid: str | None = None
    defaults: dict[str, Any] = field(default_factory=lambda: {"sub": "ann", "aud": AUDIENCE})

    def token(self, *, lives_s: float = 3600, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A claim that is None is left out."""
        content = {**self.defaults, "exp": int(time.time() + lives_s), **claims}
        content = {name: value for name, value in content.items() if value is not None}
        header = {**({"kid": self.kid} if self.kid else {}), **(headers or {})}
        return jwt.encode(content, self.key, self.algorithm, headers=header)

    @property
    def public_pem(self) -> str:
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        text: str = self.key.public_key().public_bytes(encoding, form).decode()
        return text

    @property
    def private_pem(self) -> str:
        text: str = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        return text

    def jwk(self, **more: Any) -> dict[str, Any]:
        algorithm: Any = jwt.get_algorithm_by_name(self.algorithm)
        found: dict[str, Any] = algorithm.to_jwk(self.key.public_key(), as_dict=True)
        found.pop("key_ops", None)
        return found | ({"kid": self.kid} if self.kid else {}) | more


def rsa_issuer(kid: str | None = None, bits: int = 2048) -> Issuer:
    return Issuer("RS256", rsa.generate_private_key(public_exponent=65537, key_size=bits), kid)


def ec_issuer(kid: str | None = None, curve: ec.EllipticCurve | None = None) -> Issuer:
    return Issuer("ES256", ec.generate_private_key(curve or ec.SECP256R1()), kid)


def secret_issuer(secret: str = SECRET) -> Issuer:
    return Issuer("HS256", secret)


def key_set(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})
