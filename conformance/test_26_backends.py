"""Logins and permissions that somebody else decides: a web service, a directory, a token.

One broker asks them all (``backends.py``). ``STORIES`` are logins with what the user may do: each
step is a method that asks for one permission, and is allowed, or refused in RabbitMQ's words.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from conformance import directory
from conformance.backends import Chained, chained, forged, public_key, token
from conformance.channel import Channel
from conformance.codec import Method
from conformance.conftest import PRIVATE, URL
from conformance.test_23_tls import leveret_only
from conformance.wire import Connection

pytestmark = [
    pytest.mark.skipif(bool(URL), reason="needs brokers of our own making"),
    pytest.mark.skipif(directory.program() is None, reason="needs OpenLDAP (Debian: slapd)"),
]
REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
    "For details see the broker logfile."
)
BOUND = "bound"
SOON_S = 3  # a token for so long is still good when a slow machine uses it
NO_LOGIN, NO_VHOST = "no login", "no vhost"


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chained]:
    """A broker that asks them all."""
    with chained(PRIVATE, tmp_path_factory.mktemp("backends")) as running:
        with Connection(running.broker.url) as connection:
            connection.channel().declare(BOUND)
        yield running


@pytest.fixture
def url(asking: Chained) -> str:
    """Its address."""
    return asking.broker.url


class Story(NamedTuple):
    """A login, and what comes of it: nothing, or what each step comes to."""

    user: str
    password: str | dict[str, Any]  # claims of a token
    outcome: str | dict[str, bool]
    vhost: str = "/"
    known_as: str = "ann"


def claims(scope: Any, outcome: str | dict[str, bool], **more: Any) -> Story:
    """A login by token."""
    return Story("whoever", {"scope": scope, **more}, outcome)


CONFIGURE = {"configure q": True, "read q": False}
STORIES = {
    "scopes are permissions": claims(
        "rabbitmq.configure:%2F/q* rabbitmq.write:%2F/x other.read:*/*",
        {"configure q1": True, "configure p": False, "write x": True, "read q1": False},
    ),
    "without a routing key no topic": claims(
        "rabbitmq.write:*/* rabbitmq.read:*/*",
        {"write amq.direct": True, "write-topic a": False, "read-topic a": False},
    ),
    "a routing key is for topics": claims(
        "rabbitmq.write:*/*/ok.* rabbitmq.read:*/*/a",
        {
            "write amq.direct": True,
            "write-topic ok.1": True,
            "write-topic no": False,
            "read-topic a": True,
            "read-topic b": False,
        },
    ),
    "parts are decoded, and a star may be anywhere": claims(
        "rabbitmq.configure:*/q%2Fx rabbitmq.configure:*/a%2Ab rabbitmq.configure:*/c*d*",
        {
            "configure q/x": True,
            "configure a*b": True,
            "configure aXb": False,
            "configure c1d2": True,
            "configure cd": True,
            "configure c": False,
        },
    ),
    "names have their case": claims("rabbitmq.configure:*/Q", {"configure q": False}),
    "too few parts": claims("rabbitmq.configure:%2F", NO_VHOST),
    "too many parts": claims("rabbitmq.configure:*/q/a/b", NO_VHOST),
    "no such permission": claims("rabbitmq.execute:*/*", NO_VHOST),
    "a tag is no permission": claims("rabbitmq.tag:administrator", NO_VHOST),
    "scopes without the prefix": claims("configure:*/*", NO_VHOST),
    "another vhost": claims("rabbitmq.configure:v*/*", NO_VHOST),
    "no scopes": claims("", NO_VHOST),
    "a list": claims(["rabbitmq.configure:*/*"], CONFIGURE),
    "additional text": claims("", CONFIGURE, roles="rabbitmq.configure:*/*"),
    "additional list": claims("", CONFIGURE, roles=["rabbitmq.configure:*/*"]),
    "additional object": claims("", CONFIGURE, roles={"rabbitmq": ["configure:*/*"]}),
    "additional object of text": claims("", CONFIGURE, roles={"rabbitmq": "configure:*/*"}),
    "Keycloak's place": claims(
        "", CONFIGURE, authorization={"permissions": [{"scopes": ["rabbitmq.configure:*/*"]}]}
    ),
    "one audience of many": Story("", {"aud": ["a", "rabbitmq"]}, {"configure q": True}),
    "audiences in a text": Story("", {"aud": "a rabbitmq"}, {"configure q": True}),
    "another audience": Story("", {"aud": "other"}, NO_LOGIN),
    "no audience": Story("", {"aud": None}, NO_LOGIN),
    "an end that is over": Story("", {"exp": 1}, NO_LOGIN),
    "no end": Story("", {"exp": None}, {"configure q": True}),
    "the client is the user": Story(
        "", {"sub": None, "client_id": "cy"}, {"write-topic a": False}, known_as="cy"
    ),
    "no token": Story("ann", "a.b.c", NO_LOGIN),
    "a directory's user": Story(
        "ann",
        "secret",
        {
            "configure Smith-1": True,
            "configure x": False,
            "write-queue Smith-1": True,
            "write amq.fanout": False,
            "write amq.direct": True,
            "read q": True,
            "read no-q": False,
            "read-topic ann-1": True,
            "read-topic bob-1": False,
            "write-topic ann-1": True,
            "write-topic bob-1": False,
        },
    ),
    "a directory's user in no group": Story(
        "bob",
        "secret",
        {"configure Smith-1": False, "write-queue q": False, "write x": True, "read q": True},
        known_as="bob",
    ),
    "names are as they were given": Story(
        "Ann", "secret", {"write-topic x": False}, known_as="Ann"
    ),
    "a wrong password": Story("ann", "wrong", NO_LOGIN),
    "an empty password": Story("ann", "", NO_LOGIN),
    "a group is nobody": Story("admins", "", NO_LOGIN),
    "a DN in a name": Story("ann,dc=test", "secret", NO_LOGIN),
    "a filter in a name": Story("ann)(cn=*", "secret", NO_LOGIN),
    "a pattern as a name": Story("*", "secret", NO_LOGIN),
    "no name": Story("", "secret", NO_LOGIN),
    "a vhost by its group": Story("bob", "secret", NO_VHOST, "lv", "bob"),
    "a vhost of one's own group": Story("ann", "secret", {"write x": True}, "lv"),
    "a service's user": Story(
        "web",
        "secret",
        {
            "configure web-q": True,
            "configure q": False,
            "write amq.direct": True,
            "write x": False,
            "write-topic web.1": True,
            "write-topic ann": False,
        },
        known_as="web",
    ),
    "a service's user without a password": Story("web", "", NO_LOGIN),
    "an internal user": Story("guest", "guest", {"configure q": True, "write-topic x": True}),
    "nobody's user": Story("guest", "wrong", NO_LOGIN),
}


def take(step: str, channel: Channel) -> str:
    """Take a step; gives what a refusal would be about."""
    verb, name = step.split(" ", 1)
    if verb == "configure":
        channel.send("queue.declare", queue=name, exclusive=True)
    elif verb == "read":
        channel.send("basic.get", queue=name)
    elif verb == "write-queue":
        channel.send("queue.bind", queue=name, exchange="amq.direct")
    elif verb == "read-topic":
        channel.send("queue.bind", queue=BOUND, exchange="amq.topic", routing_key=name)
    else:
        exchange, key = (name, "") if verb == "write" else ("amq.topic", name)
        channel.publish(exchange, key)
        channel.send("channel.flow", active=True)
    if verb.endswith("topic"):
        return f"topic '{name}' in exchange 'amq.topic'"
    return f"{'exchange' if verb == 'write' else 'queue'} '{name}'"


@pytest.mark.parametrize("title", STORIES)
def test_who_may_do_what(title: str, url: str) -> None:
    """What a user may do, the backend says that let it in; refusals are the same for all."""
    story = STORIES[title]
    password = story.password if isinstance(story.password, str) else token(**story.password)
    login = {"user": story.user, "password": password, "vhost": story.vhost}
    if story.outcome == NO_LOGIN:
        with Connection(url, stage="start", **login) as connection:
            connection.send_start_ok()
            connection.expect("connection.close", reply_code=403, reply_text=REFUSED)
        return
    with Connection(url, stage="tuned", **login) as connection:
        connection.send("connection.open", virtual_host=story.vhost)
        if story.outcome == NO_VHOST:
            text = f"access to vhost '{story.vhost}' refused for user '{story.known_as}'"
            connection.expect_connection_close(530, f"NOT_ALLOWED - {text}", 10, 40)
            return
        connection.expect("connection.open-ok")
        assert isinstance(story.outcome, dict)
        for step, allowed in story.outcome.items():
            check(step, allowed, connection.channel(), story.known_as)


def check(step: str, allowed: bool, channel: Channel, user: str) -> None:
    """See what becomes of a step."""
    what = take(step, channel)
    answer = channel.next()
    assert isinstance(answer, Method), answer
    refused = answer.name == "channel.close" and answer["reply_code"] == 403
    assert refused is not allowed, (step, answer)
    if refused:
        text = f"access to {what} in vhost '/' refused for user '{user}'"
        assert answer["reply_text"] == f"ACCESS_REFUSED - {text}"
    if answer.name == "channel.close":
        channel.send("channel.close-ok")
    else:
        channel.close()


# -- a web service ---------------------------------------------------------------------


def test_what_the_service_is_asked(asking: Chained) -> None:
    """The service is asked with RabbitMQ's words, and the cache asks for the same thing once."""
    del asking.service.asked[:]
    for _ in range(2):
        with Connection(
            asking.broker.url, user="wes", password="secret", client_properties={}
        ) as connection:
            channel = connection.channel()
            channel.declare("wes-asked", exclusive=True)
            channel.publish("amq.topic", "wes.asked")
            channel.sync()
    user = {"username": "wes"}
    seen = [asked for asked in asking.service.asked if asked.get("username") == "wes"]
    if PRIVATE == "rabbitmq":
        assert seen[0] == seen[1]  # who it is and what it may do are two questions there
        del seen[0]
    resource = {**user, "vhost": "/", "resource": "queue", "name": "wes-asked", "tags": ""}
    expected = [
        {"": "/user", **user, "password": "secret"},
        {"": "/vhost", **user, "vhost": "/", "ip": "127.0.0.1", "tags": ""},
        {"": "/resource", **resource, "permission": "configure"},
        {
            "": "/resource",
            **resource,
            "resource": "exchange",
            "name": "amq.topic",
            "permission": "write",
        },
        {
            "": "/topic",
            **resource,
            "resource": "topic",
            "name": "amq.topic",
            "permission": "write",
            "routing_key": "wes.asked",
            "variable_map.username": "wes",
            "variable_map.vhost": "/",
        },
    ]
    assert seen == expected


def test_what_was_sent_before_the_answer(url: str) -> None:
    """Methods and messages behind one that is still being asked about keep their order."""
    with Connection(url, user="web", password="secret") as connection:
        channel = connection.channel()
        channel.send("queue.declare", queue="web-1", exclusive=True)
        channel.send("queue.bind", queue="web-1", exchange="amq.topic", routing_key="web.#")
        for number in range(50):
            channel.publish("amq.topic", f"web.{number % 7}", str(number))
        channel.expect("queue.declare-ok")
        channel.expect("queue.bind-ok")
        channel.sync()
        assert channel.drain("web-1") == [str(number) for number in range(50)]
        channel.publish("amq.topic", "bob", "x")
        channel.expect("channel.close", reply_code=403)


# -- tokens ----------------------------------------------------------------------------


STRANGER = rsa.generate_private_key(65537, 2048)
STRANGERS = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(STRANGER.public_key()))


def _by_stranger(signed: bytes) -> bytes:
    return STRANGER.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def _hmac(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda signed: hmac.digest(secret, signed, "sha256")


RS256 = {"alg": "RS256", "typ": "JWT"}
FORGERIES = {
    "no signature": ({"alg": "none", "kid": "k"}, lambda _: b""),
    "no signature, oddly": ({"alg": "nOnE", "kid": "k"}, lambda _: b""),
    "no algorithm": ({"kid": "k"}, _by_stranger),
    "the signature left out": ({**RS256, "kid": "k"}, lambda _: b""),
    "the public key as a secret": ({"alg": "HS256", "kid": "k"}, _hmac(public_key())),
    "no secret": ({"alg": "HS256", "kid": "k"}, _hmac(b"")),
    "another key": ({**RS256, "kid": "k"}, _by_stranger),
    "a key of its own": ({**RS256, "kid": "k", "jwk": STRANGERS}, _by_stranger),
    "a key elsewhere": (
        {**RS256, "kid": "k", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"},
        _by_stranger,
    ),
    "a file as a key": ({"alg": "HS256", "kid": "../../../../../../dev/null"}, _hmac(b"")),
    "a query as a key": ({**RS256, "kid": "k' OR '1'='1"}, _by_stranger),
    "a pattern as a key": ({**RS256, "kid": "*"}, _by_stranger),
    "a giant as a key": ({**RS256, "kid": "k" * 2000}, _by_stranger),
    "a list as a key": ({**RS256, "kid": ["k"]}, _by_stranger),
    "an algorithm that is no text": ({"alg": ["RS256"], "kid": "k"}, _by_stranger),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_forged_tokens(kind: str, url: str) -> None:
    """Nothing that a token says of itself makes up for the signature."""
    with Connection(
        url, user="ann", password=forged(*FORGERIES[kind]), stage="start"
    ) as connection:
        connection.send_start_ok()
        connection.expect("connection.close", reply_code=403, reply_text=REFUSED)


def renewed(connection: Connection, secret: str) -> Method:
    """Send a new secret; gives the answer."""
    connection.send("connection.update-secret", new_secret=secret, reason="r")
    answer = connection.next()
    assert isinstance(answer, Method)
    return answer


def test_a_new_token_in_time(url: str) -> None:
    """update-secret brings other permissions and more time."""
    with Connection(url, user="x", password=token(SOON_S)) as connection:
        new = token(scope="rabbitmq.read:*/*")
        assert renewed(connection, new).name == "connection.update-secret-ok"
        channel = connection.channel()
        time.sleep(SOON_S + 0.1)
        channel.sync()
        check("configure q", False, channel, "ann")


def test_a_new_token_without_the_vhost(url: str) -> None:
    """The connection stays open, and may do nothing."""
    with Connection(url, user="x", password=token()) as connection:
        new = token(scope="rabbitmq.configure:other/*")
        assert renewed(connection, new).name == "connection.update-secret-ok"
        check("configure q", False, connection.channel(), "ann")


@pytest.mark.parametrize(
    "secret",
    [
        "rubbish",
        pytest.param({"sub": "bob"}, marks=leveret_only),
        pytest.param({"exp": 1}, marks=leveret_only),
    ],
    ids=str,
)
def test_a_new_token_that_is_refused(secret: Any, url: str) -> None:
    """What is no token closes the connection; here so does one that is over, or somebody else's."""
    with Connection(url, user="x", password=token()) as connection:
        answer = renewed(connection, secret if isinstance(secret, str) else token(**secret))
        text = "NOT_ALLOWED - New secret was refused by one of the backends"
        assert (answer.name, answer["reply_code"]) == ("connection.close", 530)
        assert answer["reply_text"] == text


def test_a_new_secret_where_none_is_used(url: str) -> None:
    """A user with a password may send what it likes: nothing changes."""
    with Connection(url, user="ann", password="secret") as connection:
        assert renewed(connection, token()).name == "connection.update-secret-ok"
        check("configure x", False, connection.channel(1), "ann")
        check("configure Smith-1", True, connection.channel(2), "ann")


@leveret_only
def test_an_expired_token_closes(url: str) -> None:
    """As with RabbitMQ since 3.13, the connection ends with its token if no new one comes."""
    connection = Connection(url, user="x", password=token(SOON_S))
    text = "CONNECTION_FORCED - credential expired"
    connection.expect("connection.close", timeout=SOON_S + 5, reply_code=320, reply_text=text)
    connection.drop()


def test_the_owner_of_messages(url: str) -> None:
    """A message's user-id has to be the name in the token, not the one given beside it."""
    with Connection(url, user="x", password=token()) as connection:
        channel = connection.channel()
        channel.publish("", "none", user_id="ann")
        channel.sync()
        channel.publish("", "none", user_id="x")
        channel.expect("channel.close", reply_code=406)


# -- where Leveret means to differ -----------------------------------------------------


@leveret_only
def test_a_token_before_its_time(url: str) -> None:
    """A token is not valid before the time it names."""
    with Connection(url, password=token(nbf=9_999_999_999), stage="start") as connection:
        connection.send_start_ok()
        connection.expect("connection.close", reply_code=403)


@leveret_only
def test_a_token_of_nobody(url: str) -> None:
    """As with RabbitMQ since 3.13, a token that names no user is that of "unknown"."""
    with Connection(
        url, user="x", password=token(sub=None, scope="rabbitmq.read:*/*")
    ) as connection:
        check("configure q", False, connection.channel(), "unknown")


@leveret_only
def test_variables_in_scopes(url: str) -> None:
    """As with RabbitMQ since 3.13, {vhost} and the names of claims stand for what they are."""
    scope = "rabbitmq.configure:{vhost}/{sub}-q"
    with Connection(url, user="x", password=token(scope=scope)) as connection:
        check("configure ann-q", True, connection.channel(1), "ann")
        check("configure x-q", False, connection.channel(2), "ann")


@leveret_only
def test_names_that_need_an_escape(url: str) -> None:
    """A comma in a name is no new part of a DN."""
    with Connection(url, user="a,b", password="secret") as connection:
        check("write-topic a,b-1", True, connection.channel(), "a,b")
