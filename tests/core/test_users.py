"""Users: passwords as RabbitMQ hashes them, limits, and what stays after a restart."""

import base64
import hashlib
from typing import Any

import pytest

from broker.core.broker import Broker
from broker.core.operations import apply, decode_operation
from broker.core.permissions import (
    VhostAccess,
    clear_permissions,
    clear_topic_permissions,
    is_allowed,
    set_permissions,
    set_topic_permissions,
)
from broker.core.runtime_parameters import (
    clear_global_parameter,
    clear_parameter,
    keep_unknown,
    set_global_parameter,
    set_parameter,
)
from broker.core.users import (
    MD5,
    NOBODY,
    SHA256,
    User,
    check_channel_limit,
    check_connection_limit,
    clear_user_limit,
    delete_user,
    hash_password,
    put_user,
    set_user_limit,
)
from broker.core.validation import InvalidParameter
from broker.core.vhost_settings import set_metadata
from protocol.errors import NotAllowed
from tests.core.doubles import ListeningLog

# A user of the password "test12", as RabbitMQ's documentation of hashes has it.
KNOWN = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def everything(broker: Broker) -> dict[str, Any]:
    """What operators have set."""
    return {
        "users": broker.users,
        "global": broker.global_parameters,
        "unknown": broker.unknown_definitions,
        "vhosts": {
            vhost.name: (
                vhost.permissions.of_users,
                vhost.permissions.on_topics,
                vhost.parameters,
                vhost.description,
                vhost.tags,
            )
            for vhost in broker.vhosts.values()
        },
    }


# -- passwords -------------------------------------------------------------------------


def test_a_hash_of_rabbitmq_fits_its_password() -> None:
    """The first four octets are the salt; salt and password together are hashed."""
    user = User("ann", KNOWN)
    assert user.has_password(b"test12")
    assert not user.has_password(b"test13")
    assert hash_password("test12", base64.b64decode(KNOWN)[:4]) == KNOWN


@pytest.mark.parametrize("scheme", ["sha256", "sha512", "md5"])
def test_schemes(scheme: str) -> None:
    """Users of all schemes of RabbitMQ keep their passwords."""
    digest = hashlib.new(scheme, "SALTsécret".encode()).digest()
    stored = base64.b64encode(b"SALT" + digest).decode()
    user = User("ann", stored, f"rabbit_password_hashing_{scheme}")
    assert user.has_password("sécret".encode())
    assert not user.has_password(b"secret")


@pytest.mark.parametrize("stored", ["", "AAAA", base64.b64encode(b"SALT").decode()])
def test_without_a_hash_no_password_fits(stored: str) -> None:
    """Not even the empty one; nor does it fit a hash of itself."""
    user = User("ann", stored)
    assert not user.has_password(b"")
    assert not user.has_password(b"x")
    assert not User("ann", hash_password("", b"SALT")).has_password(b"")
    assert not NOBODY.has_password(b"")


@pytest.mark.parametrize(
    ("password_hash", "algorithm"), [("***", SHA256), (KNOWN, "rabbit_password_hashing_zzz")]
)
def test_what_is_no_hash_is_refused(password_hash: str, algorithm: str) -> None:
    """A user whose password could not be checked is not made."""
    broker = Broker()
    with pytest.raises(ValueError, match=r"base64|algorithm|padding|alphabet"):
        put_user(broker, "ann", password_hash=password_hash, hashing_algorithm=algorithm)
    assert not broker.users


# -- what is kept ----------------------------------------------------------------------


@pytest.mark.parametrize("source", ["log", "snapshot"])
def test_all_that_operators_set_survives_a_restart(source: str) -> None:
    """Users, permissions, parameters and metadata come back, what was cleared does not."""
    broker = Broker(ListeningLog())
    vhost = broker.declare_vhost("/")
    put_user(broker, "ann", password_hash=KNOWN, tags=["management", "x y"], limits={})
    put_user(broker, "md5", password_hash="", hashing_algorithm=MD5)
    put_user(broker, "gone", password_hash="")
    for name in ("ann", "md5", "gone"):
        set_permissions(vhost, name, configure="", write="^a", read="(?=b)")
        for exchange in ("t", "u"):
            set_topic_permissions(vhost, name, exchange, write="^{username}", read="")
    set_user_limit(broker, "ann", "max-channels", 5)
    set_user_limit(broker, "ann", "max-connections", 5)
    clear_user_limit(broker, "ann", "max-connections")
    clear_permissions(vhost, "md5")
    clear_topic_permissions(vhost, "md5", "t")
    delete_user(broker, "gone")
    set_metadata(vhost, "déscription", ["a", "b"])
    set_global_parameter(broker, "kept", {"a": [1, None, 2.5]})
    set_global_parameter(broker, "cleared", 1)
    clear_global_parameter(broker, "cleared")
    set_parameter(vhost, "shovel", "s", {"src-uri": "amqp://"})
    set_parameter(vhost, "shovel", "t", {})
    clear_parameter(vhost, "shovel", "t")
    keep_unknown(broker, ("queues", "/", "q"), {"more": True})
    restarted = Broker()
    log: Any = broker.log
    operations = (
        map(decode_operation, broker.snapshot()) if source == "snapshot" else log.operations
    )
    for operation in operations:
        apply(restarted, operation)
    assert everything(restarted) == everything(broker)
    assert set(broker.users) == {"ann", "md5"}
    assert broker.users["ann"].limits == {"max-channels": 5}
    assert set(vhost.permissions.of_users) == {"ann"}
    assert {name: set(some) for name, some in vhost.permissions.on_topics.items()} == {
        "ann": {"t", "u"},
        "md5": {"u"},
    }


def test_replacing_a_user_keeps_limits_and_permissions() -> None:
    """A new password or other tags are not a new user."""
    broker = Broker()
    vhost = broker.declare_vhost("/")
    assert put_user(broker, "ann", password_hash=KNOWN, limits={"max-channels": 1})
    set_permissions(vhost, "ann", configure="", write="", read="")
    assert not put_user(broker, "ann", password_hash="", tags=["t"])
    assert broker.users["ann"].limits == {"max-channels": 1}
    assert is_allowed(broker, "ann", VhostAccess("/"))


def test_what_was_deleted_does_not_come_back_with_its_name() -> None:
    """A user made again has none of the permissions of the one before."""
    broker = Broker()
    vhost = broker.declare_vhost("/")
    put_user(broker, "ann", password_hash="")
    set_permissions(vhost, "ann", configure=".*", write=".*", read=".*")
    assert delete_user(broker, "ann")
    assert not delete_user(broker, "ann")
    put_user(broker, "ann", password_hash="")
    assert not is_allowed(broker, "ann", VhostAccess("/"))


# -- limits ----------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [-1, 0, 1])
def test_limits_bound_what_comes_new(limit: int) -> None:
    """A negative limit is none; without a user there is none either."""
    broker = Broker()
    put_user(broker, "ann", password_hash="")
    set_user_limit(broker, "ann", "max-connections", limit)
    set_user_limit(broker, "ann", "max-channels", limit)
    for check, counts, text in (
        (
            check_connection_limit,
            broker.connections,
            f"connection refused for user 'ann': user connection limit ({limit}) is reached",
        ),
        (
            check_channel_limit,
            broker.channels,
            "number of channels opened for user 'ann' has reached the maximum allowed "
            f"user limit of ({limit})",
        ),
    ):
        for count in range(3):
            counts["ann"] = count
            check(broker, "bob")
            if 0 <= limit <= count:
                with pytest.raises(NotAllowed) as refused:
                    check(broker, "ann")
                assert refused.value.text == text
            else:
                check(broker, "ann")


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ({"max-queues": 1}, 'Unrecognised terms [{<<"max-queues">>,1}] in user-limits'),
        ({"max-channels": "a"}, 'max-channels should be a number, actually was <<"a">>'),
    ],
)
def test_what_is_no_limit_is_refused(limits: dict[str, Any], fault: str) -> None:
    """With RabbitMQ's words; the user stays as it was."""
    broker = Broker()
    with pytest.raises(InvalidParameter) as caught:
        put_user(broker, "ann", password_hash="", limits=limits)
    assert caught.value.faults == [fault]
    assert not broker.users
