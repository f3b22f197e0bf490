"""The backend for OAuth 2.0: a client's password is a signed token (JWT) that says it all.

Keys to check signatures are files, or come from the issuer (``jwks_url``, or the one that its
discovery document names). A token with a key that is not known has the keys fetched again, at
most every ``FETCH_GAP_S``, so that strangers with made-up keys do not make us a nuisance.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from broker.access import scopes
from broker.access.backend import Granted, Login, Refused, Unavailable
from broker.access.http import body
from broker.config import ConfigError
from broker.config.kinds import shown_address
from broker.net import pem
from broker.net.client_tls import client_context

if TYPE_CHECKING:
    from broker.config.sections import OAuth2Auth
    from broker.core.permissions import Question

SigningKey = RSAPublicKey | EllipticCurvePublicKey
TOKEN_BYTES_MAX = 65536
DOCUMENT_BYTES_MAX = 1 << 20
FETCH_GAP_S = 30.0
FETCH_TIMEOUT_S = 10.0
DISCOVERY = "/.well-known/openid-configuration"
NAME_CLAIMS = ("sub", "client_id")
NAMELESS = "unknown"  # as RabbitMQ calls the user of a token that names none
# Beside those of the settings; the second is where Keycloak puts them.
SCOPE_KEYS = ("scope", "authorization.permissions.scopes")


class OAuth2:
    """See ``Backend``."""

    def __init__(self, options: OAuth2Auth, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._prefix = options.scope_prefix
        if self._prefix is None:
            self._prefix = f"{options.resource_server_id}."
        self._tls = client_context("auth_oauth2.https", options)
        self._files = _keys_from_files(options.signing_keys)
        self._fetched: Mapping[str, SigningKey] = {}
        self._fetched_at_s = -FETCH_GAP_S
        self._fetching: asyncio.Lock | None = None

    async def authenticate(self, login: Login) -> Granted:
        """The user and the permissions are those in the token."""
        if not login.password:
            raise Refused(f"user '{login.name}' - no token")
        return await self._granted(login.password)

    async def authorize(self, login: Login) -> Granted:
        """The token has to be there."""
        return await self.authenticate(login)

    async def _granted(self, token: bytes) -> Granted:
        claims = await self._claims(token)
        options = self._options
        keys = [*SCOPE_KEYS, *options.additional_scopes_key.split()]
        found = scopes.texts_in(claims, keys, options.resource_server_id)
        texts = scopes.resolve(found, options.scope_aliases)
        allowed, tags = scopes.parse(texts, self._prefix or "", claims)
        expires_s = claims.get("exp")

        def may(question: Question) -> bool:
            if expires_s is not None and time.time() >= expires_s:
                return False
            return any(scope.allows(question) for scope in allowed)

        return Granted(self._name(claims), may, tags, expires_s, self._granted)

    def _name(self, claims: Mapping[str, Any]) -> str:
        for key in (*self._options.preferred_username_claims, *NAME_CLAIMS):
            name = claims.get(key)
            if isinstance(name, str) and name:
                return name
        return NAMELESS

    async def _claims(self, token: bytes) -> dict[str, Any]:
        if len(token) > TOKEN_BYTES_MAX:
            raise Refused(f"the token is longer than {TOKEN_BYTES_MAX} octets")
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(header.get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=self._options.algorithms,
                issuer=self._options.issuer,
                options={"verify_aud": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Refused(f"the token is not valid: {error}") from None
        if self._options.verify_aud:
            self._check_audience(claims.get("aud"))
        return claims

    def _check_audience(self, audience: object) -> None:
        """RabbitMQ takes a text with blanks in it for several, which the library does not."""
        texts = audience.split() if isinstance(audience, str) else audience
        if not isinstance(texts, list) or self._options.resource_server_id not in texts:
            raise Refused("the token is not for us (aud, auth_oauth2.resource_server_id)")

    async def _key(self, key_id: object) -> SigningKey:
        wanted = str(key_id) if key_id is not None else self._options.default_key
        found = self._find(wanted)
        if found is None and (self._options.jwks_url or self._options.issuer):
            await self._fetch()
            found = self._find(wanted)
        if found is None:
            raise Refused("the token is signed with a key that is not known")
        return found

    def _find(self, key_id: str | None) -> SigningKey | None:
        known = {**self._fetched, **self._files}
        if key_id is None:
            return next(iter(known.values())) if len(known) == 1 else None
        return known.get(key_id)

    async def _fetch(self) -> None:
        """Fetch the issuer's keys, once however many wait for them."""
        self._fetching = self._fetching or asyncio.Lock()
        async with self._fetching:
            if self._clock() - self._fetched_at_s < FETCH_GAP_S:
                return
            self._fetched_at_s = self._clock()
            url = self._options.jwks_url
            try:
                if url is None:
                    issuer = (self._options.issuer or "").rstrip("/")
                    url = str((await self._document(issuer + DISCOVERY))["jwks_uri"])
                document = await self._document(url)
                keys = jwt.PyJWKSet.from_dict(document).keys
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
                raise Unavailable(
                    f"no keys from {shown_address(url)}: {type(error).__name__}"
                ) from None
            except jwt.PyJWTError as error:
                raise Unavailable(f"no keys from {shown_address(url)}: {error}") from None
            self._fetched = {
                str(key.key_id): key.key for key in keys if isinstance(key.key, SigningKey)
            }

    async def _document(self, url: str) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
        connector = aiohttp.TCPConnector(ssl=self._tls)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as client,
            client.get(url, max_redirects=3) as response,
        ):
            response.raise_for_status()
            document = json.loads(await body(response, DOCUMENT_BYTES_MAX))
        if not isinstance(document, dict):
            raise ValueError("not an object")
        return document

    async def close(self) -> None:
        """Nothing is held."""


def _keys_from_files(files: Mapping[str, str]) -> dict[str, SigningKey]:
    keys: dict[str, SigningKey] = {}
    faults: list[str] = []
    for name, file in files.items():
        place = f"auth_oauth2.signing_keys.{name}"
        octets = pem.read(place, file, faults)
        key = pem.public_key(octets) if octets is not None else None
        if isinstance(key, SigningKey):
            keys[name] = key
        elif octets is not None:
            faults.append(f"{place}: {file} holds no public RSA or EC key in PEM form")
    if faults:
        raise ConfigError(faults)
    return keys
