"""The chain of backends, and the cache: who is asked, in which order, and how often."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from broker.access.backend import Granted, Login, Refused, Unavailable, later
from broker.access.cache import Cache
from broker.access.chain import Chain, build
from broker.config import ConfigError, load
from broker.core.broker import Broker
from broker.core.permissions import VhostAccess

ANN = Login("ann", b"secret", "192.0.2.1")
SLASH = VhostAccess("/")


class Double:
    """A backend that knows some users, says one thing of all they ask, and counts."""

    def __init__(self, *names: str, tags: str = "", allows: bool = True, slow: bool = False):
        self.names = names
        self.tags = frozenset(tags.split())
        self.allows = allows
        self.slow = slow
        self.asked: list[str] = []
        self.error: Exception | None = None

    async def authenticate(self, login: Login) -> Granted:
        """Everybody who is known, whatever the password."""
        self.asked.append(f"in {login.name}")
        if self.error is not None:
            raise self.error
        if login.name not in self.names:
            raise Refused(f"no {login.name}")
        return Granted(login.name, self._may, self.tags)

    async def authorize(self, login: Login) -> Granted:
        """The same."""
        return await self.authenticate(login)

    def _may(self, question: Any) -> Any:
        self.asked.append("may")

        async def answer() -> bool:
            return self.allows

        return later(answer()) if self.slow else self.allows

    async def close(self) -> None:
        """Nothing is held."""


def run(work: Any) -> Any:
    """Run a coroutine to its end."""
    return asyncio.run(work)


def test_the_first_who_knows_decides() -> None:
    """The next backend is asked if one refuses or cannot be asked, and not otherwise."""
    first, second = Double("bob"), Double("ann", tags="second")
    chain = Chain([(first, first), (second, second)])
    assert run(chain.login(ANN)).tags == {"second"}
    first.error = Unavailable("down")
    assert run(chain.login(ANN)).tags == {"second"}
    second.names = ()
    with pytest.raises(Refused, match=r"^a backend cannot be asked; no ann$"):
        run(chain.login(ANN))
    first.error, first.names, second.asked = None, ("ann",), []
    run(chain.login(ANN))
    assert second.asked == []


def test_one_says_who_and_another_what() -> None:
    """With authn and authz apart both have to know the user; tags are those of both."""
    authn, authz = Double("ann", tags="a"), Double("ann", tags="b", allows=False)
    granted = run(Chain([(authn, authz)]).login(ANN))
    assert granted.tags == {"a", "b"}
    assert granted.may(SLASH) is False
    assert authn.asked == ["in ann"]
    authz.names = ()
    with pytest.raises(Refused):
        run(Chain([(authn, authz)]).login(ANN))


def configured(*lines: str) -> Any:
    """A configuration of these settings."""
    return load(None, lines, {})[0]


def test_the_order_of_the_settings() -> None:
    """Steps come in the order of their numbers, authn and authz apart or not, by either name."""
    assert configured().auth_backends == (("internal", "internal"),)
    config = configured(
        "auth_backends.10=internal",
        "auth_backends.2.authz=internal",
        "auth_backends.2.authn=rabbit_auth_backend_ldap",
        "auth_ldap.servers.1=localhost",
    )
    assert config.auth_backends == (("ldap", "internal"), ("internal", "internal"))


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["auth_backends.1=dummy"], "must be internal, http, oauth2, ldap or cache"),
        (["auth_backends.1=ldap"], "auth_ldap.servers.1 must be set"),
        (["auth_backends.1=oauth2"], "auth_oauth2.issuer, jwks_url or signing_keys must be set"),
        (
            ["auth_backends.1=cache", "auth_cache.cached_backend=cache"],
            "auth_cache.cached_backend must be another backend",
        ),
        (
            ["auth_backends.1=oauth2", "auth_oauth2.signing_keys.k=none.pem"],
            "none.pem cannot be read",
        ),
        (
            [
                "auth_backends.1=ldap",
                "auth_ldap.servers.1=h",
                "auth_ldap.queries.vhost_access={constnt, true}",
            ],
            "auth_ldap.queries.vhost_access cannot be used: {constnt, ...} is no query",
        ),
    ],
)
def test_settings_that_cannot_work(lines: list[str], fault: str) -> None:
    """A backend that cannot work as it is set up is a line for the operator, at the start."""

    async def start() -> None:
        build(configured(*lines), Broker())

    with pytest.raises(ConfigError) as error:
        run(start())
    assert fault in str(error.value)


# -- the cache ------------------------------------------------------------------------------------


def cached(backend: Double, clock: Callable[[], float], *lines: str) -> Cache:
    """A cache of one second in front of a backend."""
    config = configured("auth_cache.cache_ttl=1000", *lines)
    return Cache(backend, config.auth_cache, clock)


@pytest.mark.parametrize("slow", [False, True])
def test_answers_are_remembered_for_a_while(slow: bool) -> None:
    """The same login and the same question are asked once in a while; another password is not."""
    backend, now = Double("ann", slow=slow), [0.0]
    cache = cached(backend, lambda: now[0])

    async def ask() -> None:
        granted = await cache.authenticate(ANN)
        answer = granted.may(SLASH)
        assert (answer if isinstance(answer, bool) else await answer) is True

    run(ask())
    run(ask())
    assert backend.asked == ["in ann", "may"]
    run(cache.authenticate(Login("ann", b"other", "192.0.2.1")))
    assert backend.asked == ["in ann", "may", "in ann"]
    now[0] = 1.5
    run(ask())
    assert backend.asked == ["in ann", "may", "in ann", "in ann", "may"]


def test_refusals_are_remembered_if_asked_for() -> None:
    """Refusals are asked for again, unless cache_refusals is set; being away is no refusal."""
    for lines, count in (((), 2), (("auth_cache.cache_refusals=true",), 1)):
        backend = Double()
        cache = cached(backend, lambda: 0.0, *lines)
        for _ in range(2):
            with pytest.raises(Refused):
                run(cache.authenticate(ANN))
        assert len(backend.asked) == count
        backend.error = Unavailable("down")
        for _ in range(2):
            with pytest.raises(Unavailable):
                run(cache.authenticate(Login("bob", b"")))
        assert len(backend.asked) == count + 2
