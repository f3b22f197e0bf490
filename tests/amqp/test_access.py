"""What open connections may do when permissions change, and how refusals are told."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pamqp import commands

from broker.amqp import audit
from broker.amqp.access import Identity
from broker.amqp.session import Session
from broker.core.limits import Limits
from broker.core.permissions import (
    clear_permissions,
    is_allowed,
    set_permissions,
    set_topic_permissions,
)
from broker.core.runtime_parameters import set_parameter
from broker.core.users import delete_user, put_user
from broker.core.vhost import Vhost
from tests.amqp.dialogue import consume, declare, heard, names, say, send, started
from tests.frames import (
    PROTOCOL_HEADER,
    channel_open,
    connection_open,
    message,
    method,
    publish,
    start_ok,
    tune_ok,
)
from tests.world import Client, World


class GuardedWorld(World):
    """A broker with users; who connects is guest."""

    tags: frozenset[str] = frozenset()

    def authenticate(self, session: Session, mechanism: str, response: bytes) -> Identity:
        """See `Host`."""
        return Identity("guest", partial(is_allowed, self.broker, "guest"), self.tags)


def guarded(*, fast_path: bool = True) -> GuardedWorld:
    """A world where guest may do everything."""
    world = GuardedWorld(fast_path=fast_path)
    put_user(world.broker, "guest", password_hash="")
    allow(world)
    return world


def allow(world: World, **permissions: str) -> None:
    """Give guest all permissions but those that are given."""
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    set_permissions(world.broker.vhosts["/"], "guest", **{**every, **permissions})


def refuse_topics(vhost: Vhost) -> None:
    """Leave guest no routing key."""
    set_topic_permissions(vhost, "guest", "amq.topic", write="^$", read="^$")


CHANGES: dict[str, Callable[[Vhost], Any]] = {
    "other permissions": lambda vhost: set_permissions(
        vhost, "guest", configure=".*", write="^$", read=".*"
    ),
    "no permissions": lambda vhost: clear_permissions(vhost, "guest"),
    "no user": lambda vhost: delete_user(vhost.broker, "guest"),
    "topic permissions": refuse_topics,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("fast_path", [True, False])
def test_a_change_of_permissions_holds_at_once(change: str, fast_path: bool) -> None:
    """The next publish of an open connection is refused, though equal ones were just accepted."""
    world = guarded(fast_path=fast_path)
    client = started(world, declare(), commands.Queue.Bind(queue="q", exchange="amq.topic"))
    vhost = world.broker.vhosts["/"]
    octets = publish(1, "amq.topic", "q") + message(1)
    say(world, client, method(1, commands.Queue.Bind(queue="q", exchange="amq.topic")))
    assert say(world, client, octets * 3) == []
    CHANGES[change](vhost)
    (close,) = say(world, client, octets * 3)
    assert (close.name, close.command.reply_code) == ("Channel.Close", 403)


def test_a_permission_that_is_given_back_holds_at_once() -> None:
    """Nothing remembers a refusal."""
    world = guarded()
    client = started(world, declare())
    allow(world, write="^$")
    assert names(say(world, client, send())) == ["Channel.Close"]
    allow(world)
    say(world, client, method(1, commands.Channel.CloseOk()), channel_open(), send())
    assert len(world.broker.vhosts["/"].queues["q"]) == 1


def test_only_an_impersonator_names_another_user() -> None:
    """The tag counts that the user had when it logged in."""
    world = guarded()
    client = started(world, declare())
    (close,) = say(world, client, send(user_id="ann"))
    assert close.command.reply_code == 406
    world.tags = frozenset({"impersonator"})
    other = started(world)
    assert say(world, other, send(user_id="ann")) == []


# -- limits ----------------------------------------------------------------------------


def test_connections_and_channels_are_counted() -> None:
    """What is closed in whatever way makes room."""
    world = guarded()
    clients = [started(world, channels=2), started(world)]
    assert (world.broker.connections["guest"], world.broker.channels["guest"]) == (2, 3)
    clients[0].vanish()
    close = commands.Channel.Close(200, "", 0, 0)
    say(world, clients[1], method(1, close))
    assert (world.broker.connections["guest"], world.broker.channels["guest"]) == (1, 0)


def close_after(limits: Limits, *octets: bytes) -> tuple[str, int, str]:
    """The last answer to a client with one channel and one queue, at a broker with limits."""
    world = guarded()
    client = started(world, declare())
    world.broker.limits = limits
    answer = say(world, client, *octets)[-1].command
    return answer.name, answer.reply_code, answer.reply_text


@pytest.mark.parametrize(
    ("limits", "octets", "text"),
    [
        (
            Limits(queues=1),
            method(1, declare("p")),
            "cannot declare queue 'p': queue limit in cluster (1) is reached",
        ),
        (
            Limits(exchanges=9),
            method(1, commands.Exchange.Declare(exchange="x", exchange_type="topic")) * 2
            + method(1, commands.Exchange.Declare(exchange="y", exchange_type="topic")),
            "cannot declare exchange 'y' in vhost '/': exchange limit of 9 is reached",
        ),
        (
            Limits(channels=1, node="leveret@here"),
            channel_open(2),
            "number of channels opened on node 'leveret@here' has reached the maximum "
            "allowed limit of (1)",
        ),
        (
            Limits(consumers_per_channel=1),
            method(1, consume()) + method(1, consume(tag="d")),
            "reached maximum (1) of consumers per channel",
        ),
    ],
)
def test_limits_of_the_broker(limits: Limits, octets: bytes, text: str) -> None:
    """One more is refused, with the words of RabbitMQ 4."""
    name, code, told = close_after(limits, octets)
    precondition = "queue" in text.split() or "exchange" in text.split()
    assert told == f"{'PRECONDITION_FAILED' if precondition else 'NOT_ALLOWED'} - {text}"
    assert (name, code) == (("Channel.Close", 406) if precondition else ("Connection.Close", 530))


# -- the audit log ---------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What stands in the audit log; each record is one line of JSON."""
    texts = [r.getMessage() for r in caplog.records if r.name == "leveret.audit"]
    assert all(text.isprintable() for text in texts)
    return [json.loads(text) for text in texts]


def test_refusals_and_logins_are_noted(caplog: pytest.LogCaptureFixture) -> None:
    """Who wanted what where; a client that puts line feeds into names forges nothing."""
    caplog.set_level(logging.INFO, "leveret.audit")
    world = guarded()
    client = started(world)
    refuse_topics(world.broker.vhosts["/"])
    odd = 'x"\x1b[2J\u2028\n{"event": "x"}'
    say(world, client, publish(1, "amq.topic", odd), message(1))
    login, refused = [line for line in lines(caplog) if not line["event"].startswith("perm")]
    assert (login["event"], login["user"], login["mechanism"]) == ("login", "guest", "PLAIN")
    assert refused == {
        "event": "access_refused",
        "user": "guest",
        "vhost": "/",
        "exchange": "amq.topic",
        "permission": "write",
        "routing_key": odd,
        "peer": client.session.name,
    }


def test_a_refused_vhost_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    """Access to a whole vhost has its own event."""
    caplog.set_level(logging.INFO, "leveret.audit")
    world = guarded()
    clear_permissions(world.broker.vhosts["/"], "guest")
    client = Client(world)
    world.clients.append(client)
    client.feed(PROTOCOL_HEADER + start_ok() + tune_ok() + connection_open())
    close = heard(world, client)[-1]
    assert close.command.reply_text == "NOT_ALLOWED - access to vhost '/' refused for user 'guest'"
    assert lines(caplog)[-1]["event"] == "vhost_access_refused"


def test_changes_of_definitions_are_noted_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What clients declare is for level debug; hashes and parameters are for nobody."""
    caplog.set_level(logging.INFO, "leveret.audit")
    world = guarded()
    world.broker.watchers.append(partial(audit.changed, world.broker))
    with world.broker.events.acting("boss"):
        put_user(world.broker, "ann", password_hash="c2VjcmV0", tags=["a"])
    set_parameter(world.broker.vhosts["/"], "shovel", "s", {"src-uri": "amqp://u:geheim@h"})
    started(world, declare())
    text = caplog.text
    assert "c2VjcmV0" not in text
    assert "geheim" not in text
    found = [line for line in lines(caplog) if line["event"] != "login"]
    assert found == [
        {"event": "user.set", "by": "boss", "name": "ann", "tags": ["a"], "limits": {}},
        {
            "event": "parameter.set",
            "by": "rmq-internal",
            "vhost": "/",
            "component": "shovel",
            "name": "s",
        },
    ]
