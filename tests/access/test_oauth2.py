"""Tokens: which ones let a client in, what their scopes allow, and where keys come from."""

import asyncio
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from broker.access import scopes
from broker.access.backend import Login, Refused, Unavailable
from broker.access.oauth2 import OAuth2
from broker.config import load
from broker.core.permissions import ResourceAccess, TopicAccess, VhostAccess

KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
CLAIMS = {"sub": "ann", "aud": ["rabbitmq", "else"], "scope": "rabbitmq.read:*/*"}


def pem(key: Any) -> bytes:
    """The public part, as a file has it."""
    octets: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return octets


@pytest.fixture
def backend(tmp_path: Path) -> Any:
    """Make a backend that knows one key by a file."""
    (tmp_path / "key.pem").write_bytes(pem(KEY))

    def make(*lines: str) -> OAuth2:
        settings = [f"auth_oauth2.signing_keys.k1={tmp_path / 'key.pem'}", *lines]
        return OAuth2(load(None, settings, {})[0].auth_oauth2)

    return make


def token(key: Any = KEY, algorithm: str = "RS256", kid: str | None = "k1", **claims: Any) -> bytes:
    """A signed token; a claim that is None is left out."""
    content = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    headers = {"kid": kid} if kid is not None else {}
    return jwt.encode(content, key, algorithm, headers=headers).encode()


def log_in(backend: OAuth2, secret: bytes) -> Any:
    """Log in with a token."""
    return asyncio.run(backend.authenticate(Login("whoever", secret)))


def test_the_token_says_it_all(backend: Any) -> None:
    """Name, tags, permissions and end are those of the token, whatever name the client gave."""
    end = int(time.time()) + 100
    scope = "rabbitmq.read:v*/q rabbitmq.tag:monitoring other.write:*/* rabbitmq.nonsense"
    granted = log_in(backend(), token(scope=scope, exp=end))
    assert (granted.name, granted.tags, granted.expires_s) == ("ann", {"monitoring"}, end)
    assert granted.may(VhostAccess("v1"))
    assert granted.may(ResourceAccess("v1", "queue", "q", "read"))
    assert not granted.may(ResourceAccess("v1", "queue", "q", "write"))
    assert not granted.may(ResourceAccess("v1", "queue", "p", "read"))
    assert not granted.may(VhostAccess("/"))


BAD = {
    "another key": token(OTHER),
    "unknown key": token(kid="k2"),
    "expired": token(exp=1),
    "not yet": token(nbf=time.time() + 1000),
    "other audience": token(aud="else"),
    "no audience": token(aud=None),
    "no signature": jwt.encode(CLAIMS, None, "none", headers={"kid": "k1"}).encode(),
    "audience of another type": token(aud={"rabbitmq": 1}),
    "no token": b"",
    "rubbish": b"a.b.c",
    "not UTF-8": b"\xff\xfe",
    "too long": b"x" * 100_000,
}


@pytest.mark.parametrize("kind", list(BAD))
def test_tokens_that_let_nobody_in(backend: Any, kind: str) -> None:
    """A token that is not signed by the issuer, for us, and for now is refused."""
    with pytest.raises(Refused):
        log_in(backend(), BAD[kind])


def test_a_public_key_signs_nothing(backend: Any) -> None:
    """Who knows the public key cannot use it as a secret for HMAC."""
    head = jwt.encode({}, "x" * 32, "HS256", headers={"kid": "k1"}).partition(".")[0]
    body = jwt.encode(CLAIMS, "x" * 32, "HS256").split(".")[1]
    raw = hmac.digest(pem(KEY), f"{head}.{body}".encode(), "sha256")
    forged = f"{head}.{body}.{jwt.utils.base64url_encode(raw).decode()}".encode()
    with pytest.raises(Refused):
        log_in(backend(), forged)


def test_options(backend: Any) -> None:
    """Audience, prefix, name, additional scopes and aliases are as the settings say."""
    made = backend(
        "auth_oauth2.verify_aud=false",
        "auth_oauth2.scope_prefix=api://",
        "auth_oauth2.preferred_username_claims.1=missing",
        "auth_oauth2.preferred_username_claims.2=mail",
        "auth_oauth2.additional_scopes_key=roles realm.roles",
        "auth_oauth2.scope_aliases.admin=api://tag:administrator api://configure:*/*",
        "auth_oauth2.scope_aliases.1.alias=x:Read.All",
        "auth_oauth2.scope_aliases.1.scope=api://read:%2F/*",
    )
    claims = {"scope": None, "mail": "a@b", "roles": ["admin", 7], "realm": {"roles": "x:Read.All"}}
    granted = log_in(made, token(aud=None, **claims))
    assert (granted.name, granted.tags) == ("a@b", {"administrator"})
    assert log_in(made, token(aud=None, sub=None)).name == "unknown"
    assert granted.may(ResourceAccess("v", "queue", "q", "configure"))
    assert granted.may(ResourceAccess("/", "queue", "q", "read"))
    assert not granted.may(ResourceAccess("v", "queue", "q", "read"))


@pytest.mark.parametrize(
    "claims",
    [
        {"roles": {"rabbitmq": ["write:*/q"], "other": ["read:*/*"]}},
        {"roles": {"rabbitmq": "write:*/q x:y"}},
        {"authorization": {"permissions": [{"scopes": ["rabbitmq.write:*/q"]}, {}, 5]}},
        {"aud": "else rabbitmq", "scope": ["rabbitmq.write:*/q", 5, {}]},
    ],
)
def test_where_scopes_are(claims: dict[str, Any], backend: Any) -> None:
    """Scopes may be in objects by resource server, and in lists of objects."""
    made = backend("auth_oauth2.additional_scopes_key=roles")
    granted = log_in(made, token(**{"scope": None, **claims}))
    assert granted.may(ResourceAccess("/", "queue", "q", "write"))
    assert not granted.may(ResourceAccess("/", "queue", "q", "read"))


def test_renewal(backend: Any) -> None:
    """A new token takes the place of the old one; a bad one does not."""
    granted = log_in(backend(), token(scope="rabbitmq.read:*/*"))
    renewed = asyncio.run(granted.renew(token(scope="rabbitmq.write:*/*")))
    assert renewed.may(ResourceAccess("/", "queue", "q", "write"))
    with pytest.raises(Refused):
        asyncio.run(granted.renew(token(OTHER)))


# -- keys of the issuer ---------------------------------------------------------------------------


def test_keys_of_the_issuer() -> None:
    """Keys come from the issuer's address, again for one that is new, but not all the time."""
    curve = ec.generate_private_key(ec.SECP256R1())
    first_key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    served = {"keys": [{**first_key, "kid": "a"}]}
    asked, now = [], [1000.0]

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        if request.path.startswith("/realm"):
            return web.json_response({"jwks_uri": f"http://{request.host}/keys"})
        return web.json_response(served)

    async def check() -> None:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        issuer = f"http://127.0.0.1:{runner.addresses[0][1]}/realm"
        config, _ = load(None, [f"auth_oauth2.issuer={issuer}"], {})
        backend = OAuth2(config.auth_oauth2, lambda: now[0])
        first = Login("", token(kid="a", iss=issuer))
        logins = await asyncio.gather(*[backend.authenticate(first) for _ in range(20)])
        assert {granted.name for granted in logins} == {"ann"}
        assert asked == ["/realm/.well-known/openid-configuration", "/keys"]
        with pytest.raises(Refused):
            await backend.authenticate(Login("", token(kid="a", iss="http://elsewhere")))
        second = Login("", token(curve, "ES256", kid="b", iss=issuer))
        served["keys"].append(
            {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(curve.public_key())), "kid": "b"}
        )
        with pytest.raises(Refused):
            await backend.authenticate(second)
        assert len(asked) == 2
        now[0] += 60
        assert (await backend.authenticate(second)).name == "ann"
        assert len(asked) == 4
        await runner.cleanup()

    asyncio.run(check())


def test_an_issuer_that_is_away() -> None:
    """Without the issuer's keys nobody gets in."""
    config, _ = load(None, ["auth_oauth2.jwks_url=http://127.0.0.1:1/keys"], {})
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/keys"):
        log_in(OAuth2(config.auth_oauth2), token())


# -- scopes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "question", "allowed"),
    [
        ("write:*/*", TopicAccess("/", "x", "write", "a.b"), False),
        ("write:*/*/*", TopicAccess("/", "x", "write", "a.b"), True),
        ("write:*/*/a.*", TopicAccess("/", "x", "write", "a.b"), True),
        ("write:*/*/a.*", TopicAccess("/", "x", "write", "b.a"), False),
        ("write:*/*/a.*", TopicAccess("/", "x", "read", "a.b"), False),
        ("write:*/*/a/b", TopicAccess("/", "x", "write", "a/b"), False),
        ("write:*/*/a%2Fb", TopicAccess("/", "x", "write", "a/b"), True),
        ("write:*/x-{vhost}/{sub}.*", TopicAccess("v/*", "x-v/*", "write", "a*n.b"), True),
        ("write:*/x-{vhost}/{sub}.*", TopicAccess("v/*", "x-v/1", "write", "a*n.b"), False),
        ("write:*/*/{sub}.*", TopicAccess("/", "x", "write", "ann.b"), False),
        ("write:*/{number}", ResourceAccess("/", "queue", "{number}", "write"), True),
        ("write:%2F/a%2Ab", ResourceAccess("/", "queue", "a*b", "write"), True),
        ("write:%2F/a%2Ab", ResourceAccess("/", "queue", "axb", "write"), False),
        ("write:vhost", VhostAccess("vhost"), False),
        ("write:vhost/", VhostAccess("vhost"), True),
        ("write:vhost/", VhostAccess("vhosts"), False),
        ("write:", VhostAccess(""), False),
        ("write", VhostAccess(""), False),
        ("delete:*/*", VhostAccess("/"), False),
    ],
)
def test_scopes(scope: str, question: Any, allowed: bool) -> None:
    """A scope is permission:vhost/name/routing_key, each part a pattern, encoded as in a URL."""
    found, _ = scopes.parse([scope], "", {"sub": "a*n", "number": 5, "vhost": "claimed"})
    assert any(one.allows(question) for one in found) is allowed


@given(st.text("ab*", max_size=12), st.text("ab", max_size=12))
def test_patterns(pattern: str, text: str) -> None:
    """A star stands for any octets, everywhere, and nothing else is special."""
    assert scopes.matches(pattern, text) is _slowly(pattern, text)


def _slowly(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_slowly(pattern[1:].lstrip("*"), text[n:]) for n in range(len(text) + 1))
    return text[:1] == pattern[0] and _slowly(pattern[1:], text[1:])
