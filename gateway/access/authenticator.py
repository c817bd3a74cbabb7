"""Verifies tokens: API keys and JWTs (RFC 7519) become grants. Never keeps, logs or returns a token."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt

from gateway.access.credentials import API_KEY_PREFIX, TOKEN_MAX, ApiKeys, unverified
from gateway.access.grants import TokenRefused, grant_of
from gateway.access.key_set import RSA_MIN_BITS, KeySet
from gateway.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.access.grants import Grant
    from gateway.config import TokensConfig

logger = logging.getLogger(__name__)

SECRET_MIN_BYTES = 32
"""RFC 7518, section 3.2: at least as long as the output of the hash of HS256."""

_REASONS: dict[type[jwt.PyJWTError], tuple[str, str]] = {
    jwt.ExpiredSignatureError: ("expired", "The token has expired."),
    jwt.ImmatureSignatureError: ("not_yet", "The token is not valid yet."),
    jwt.InvalidAudienceError: ("audience", "The token is for another audience."),
    jwt.InvalidIssuerError: ("issuer", "The token is from another issuer."),
    jwt.MissingRequiredClaimError: ("claims", "The token lacks a required claim."),
    jwt.InvalidSignatureError: ("signature", "The token's signature is invalid."),
}
_MALFORMED = ("malformed", "The token is malformed.")


class Authenticator:
    """Each key verifies one algorithm, which the settings choose and never the token."""

    def __init__(self, config: TokensConfig) -> None:
        """Raises `ConfigError` for keys that cannot be used."""
        self._config = config
        self._api_keys = ApiKeys(config.api_keys)
        self._key = _one_key(config)
        self._key_set = KeySet(config.jwks, config.jwks_max_age_s) if config.jwks else None
        self._revoked_file = Path(config.revoked_file) if config.revoked_file else None
        self._revoked_version: object = None
        self._revoked: frozenset[str] = frozenset()
        self.read_revocations()

    @property
    def enabled(self) -> bool:
        """Whether the settings name any key."""
        return bool(self._api_keys) or self._key is not None or self._key_set is not None

    @property
    def required(self) -> bool:
        """Whether clients must present a token."""
        return self._config.required

    async def verify(self, token: str) -> Grant:
        """What a token permits; raises `TokenRefused`.

        A token is of this gateway, and not `foreign`, if one of its keys has signed it, or if it says that it is: by
        the prefix of the API keys, or by the name of a key, the issuer or the audience of the settings.
        """
        ours = token.startswith(API_KEY_PREFIX)
        if len(token) > TOKEN_MAX or not token.isascii():
            raise TokenRefused(*_MALFORMED, foreign=not ours)
        if key := self._api_keys.find(token):
            return key
        if ours or "." not in token:
            raise TokenRefused("api_key", "Unknown API key.", foreign=not ours)
        grant = grant_of(await self._claims(token), self._config.leeway_s)
        if self._is_revoked(grant):
            raise TokenRefused("revoked", "The token has been revoked.")
        return grant

    def read_revocations(self) -> Callable[[Grant], bool] | None:
        """Read the file of revoked token ids if it has changed; returns a test for revoked grants, None if unchanged.

        Raises `ConfigError` if the file cannot be read the first time; later the previous list is kept.
        """
        if self._revoked_file is None:
            return None
        try:
            status = self._revoked_file.stat()
            changed = (status.st_mtime_ns, status.st_size, status.st_ino)
            if changed == self._revoked_version:
                return None
            self._revoked = frozenset(self._revoked_file.read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError) as error:
            if self._revoked_version is None:
                raise ConfigError(f"tokens.revoked_file: cannot be read: {error}") from error
            logger.warning("cannot read the list of revoked tokens, keeping the previous one: %s", error)
            return None
        self._revoked_version = changed
        return self._is_revoked

    def _is_revoked(self, grant: Grant) -> bool:
        return grant.id in self._revoked

    async def _claims(self, token: str) -> dict[str, Any]:
        key, algorithm = None, ""
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = str(header.get("alg")), header.get("kid")
            key = await self._key_for(algorithm, kid)
            if key is None:
                raise TokenRefused(
                    "key", "No configured key verifies this token.", foreign=not self._is_addressed_here(token)
                )
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                # The algorithm of the key. The token names the same one, or no key would have been found.
                algorithms=[algorithm],
                audience=self._config.audience,
                issuer=self._config.issuer or None,
                leeway=self._config.leeway_s,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            reason = _REASONS.get(type(error), _MALFORMED)
        except (ValueError, TypeError, OverflowError, RecursionError):
            # The library converts claims before it checks their types.
            reason = _MALFORMED
        else:
            return claims
        foreign = not (_is_signed(token, key, algorithm) or self._is_addressed_here(token))
        raise TokenRefused(*reason, foreign=foreign)

    def _is_addressed_here(self, token: str) -> bool:
        """Whether a JWT that no key has signed says that it is for this gateway."""
        said = unverified(token)
        return (
            (bool(self._config.issuer) and said.issuer == self._config.issuer)
            or (bool(self._config.audience) and self._config.audience in said.audiences)
            or (self._key_set is not None and self._key_set.has(said.kid))
        )

    async def _key_for(self, algorithm: str, kid: object) -> Any:
        if self._key is not None and algorithm == self._config.jwt_algorithm:
            return self._key
        if self._key_set is not None and (kid is None or isinstance(kid, str)):
            return await self._key_set.find(algorithm, kid)
        return None


def _is_signed(token: str, key: Any, algorithm: str) -> bool:
    """Whether a key has signed a token, whatever its claims are."""
    if key is None:
        return False
    try:
        jwt.PyJWS().decode(token, key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return True


def _one_key(config: TokensConfig) -> Any:
    """The key in the settings, if there is one, checked for its algorithm. Raises `ConfigError`."""
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
            raise ConfigError(f"{name}: the secret must have at least {SECRET_MIN_BYTES} bytes")
        if text.startswith(b"-----BEGIN"):
            raise ConfigError(f"{name}: a public key is not a secret; set its algorithm in tokens.jwt_algorithm")
        return text
    try:
        key: Any = jwt.get_algorithm_by_name(config.jwt_algorithm).prepare_key(text)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise ConfigError(f"{name}: not a public key for {config.jwt_algorithm} in PEM") from error
    if not hasattr(key, "verify"):
        raise ConfigError(f"{name}: this is a private key; the gateway only verifies and needs the public key")
    if config.jwt_algorithm == "RS256" and key.key_size < RSA_MIN_BITS:
        raise ConfigError(f"{name}: the key is shorter than {RSA_MIN_BITS} bits")
    return key
