"""Verifies tokens: API keys and JWTs (RFC 7519) become grants. Keeps no token, and never says one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt

from gateway.access.api_keys import PREFIX, ApiKeys
from gateway.access.credentials import TOKEN_MAX
from gateway.access.grants import TokenRefused, grant_of
from gateway.access.key_set import RSA_MIN_BITS, KeySet
from gateway.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.access.grants import Grant
    from gateway.config import TokensConfig

logger = logging.getLogger(__name__)

SECRET_MIN_BYTES = 32
"""RFC 7518, section 3.2: as long as the hash of HS256."""

_REASONS: dict[type[jwt.PyJWTError], tuple[str, str]] = {
    jwt.ExpiredSignatureError: ("expired", "the token has expired"),
    jwt.ImmatureSignatureError: ("not_yet", "the token is not valid yet"),
    jwt.InvalidAudienceError: ("audience", "the token is for another audience"),
    jwt.InvalidIssuerError: ("issuer", "the token is of another issuer"),
    jwt.MissingRequiredClaimError: ("claims", "the token lacks a claim that is required"),
    jwt.InvalidSignatureError: ("signature", "the token's signature is wrong"),
}
_MALFORMED = ("malformed", "this is no token")


class Authenticator:
    def __init__(self, config: TokensConfig) -> None:
        """Raises `ConfigError` for keys that cannot be used."""
        self._config = config
        self._api_keys = ApiKeys(config.api_keys)
        self._key = _one_key(config)
        self._key_set = KeySet(config.jwks, config.jwks_max_age_s) if config.jwks else None
        self._revoked_file = Path(config.revoked_file) if config.revoked_file else None
        self._revoked_at: object = None
        self._revoked: frozenset[str] = frozenset()
        self.revocations()

    @property
    def enabled(self) -> bool:
        """Whether any token can be verified here."""
        return bool(self._api_keys) or self._key is not None or self._key_set is not None

    @property
    def required(self) -> bool:
        return self._config.required

    async def verify(self, token: str) -> Grant:
        """Raises `TokenRefused`."""
        if len(token) > TOKEN_MAX or not token.isascii():
            raise TokenRefused(*_MALFORMED)
        if token.startswith(PREFIX) or "." not in token:
            grant = self._api_keys.find(token)
            if grant is None:
                raise TokenRefused("api_key", "no such API key")
            return grant
        grant = grant_of(await self._claims(token), self._config.leeway_s)
        if self._is_revoked(grant):
            raise TokenRefused("revoked", "the token has been revoked")
        return grant

    def revocations(self) -> Callable[[Grant], bool] | None:
        """Read the list of revoked tokens where it has changed, and say which those are; None: as before."""
        if self._revoked_file is None:
            return None
        try:
            status = self._revoked_file.stat()
            changed = (status.st_mtime_ns, status.st_size, status.st_ino)
            if changed == self._revoked_at:
                return None
            self._revoked = frozenset(self._revoked_file.read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError) as error:
            if self._revoked_at is None:
                raise ConfigError(f"tokens.revoked_file: cannot be read: {error}") from error
            logger.warning("list of revoked tokens not read, the one from before stays: %s", error)
            return None
        self._revoked_at = changed
        return self._is_revoked

    def _is_revoked(self, grant: Grant) -> bool:
        return grant.id in self._revoked

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = str(header.get("alg")), header.get("kid")
            key = await self._key_for(algorithm, kid)
            if key is None:
                raise TokenRefused("key", "no key here verifies this token")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                # The key's own algorithm, not the token's wish: they are the same, or no key would have been found.
                algorithms=[algorithm],
                audience=self._config.audience,
                issuer=self._config.issuer or None,
                leeway=self._config.leeway_s,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise TokenRefused(*_REASONS.get(type(error), _MALFORMED)) from None
        return claims

    async def _key_for(self, algorithm: str, kid: object) -> Any:
        if self._key is not None and algorithm == self._config.jwt_algorithm:
            return self._key
        if self._key_set is not None and (kid is None or isinstance(kid, str)):
            return await self._key_set.find(algorithm, kid)
        return None


def _one_key(config: TokensConfig) -> Any:
    """The key of the settings, if there is one, checked for the one algorithm it is for."""
    if config.jwt_secret:
        text, name = config.jwt_secret.encode(), "tokens.jwt_secret"
    elif config.jwt_key_file:
        name = "tokens.jwt_key_file"
        try:
            text = Path(config.jwt_key_file).read_bytes().strip()
        except OSError as error:
            raise ConfigError(f"{name}: cannot be read: {error.strerror}") from error
    else:
        return None
    if config.jwt_algorithm == "HS256":
        if len(text) < SECRET_MIN_BYTES:
            raise ConfigError(f"{name}: a secret of at least {SECRET_MIN_BYTES} bytes is needed")
        if text.startswith(b"-----BEGIN"):
            raise ConfigError(f"{name}: a public key is no secret; say its algorithm in tokens.jwt_algorithm")
        return text
    try:
        key: Any = jwt.get_algorithm_by_name(config.jwt_algorithm).prepare_key(text)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise ConfigError(f"{name}: not a public key for {config.jwt_algorithm} in PEM") from error
    if not hasattr(key, "verify"):
        raise ConfigError(f"{name}: a private key; who only verifies should not hold it")
    if config.jwt_algorithm == "RS256" and key.key_size < RSA_MIN_BITS:
        raise ConfigError(f"{name}: shorter than {RSA_MIN_BITS} bits")
    return key
