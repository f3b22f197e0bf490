"""What tools around the management API rely on beside the fields: slashes, redirects, side effects.

Each was found by running such a tool, unmodified, on both brokers; docs/tools.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.brokers import Broker, Leveret, RabbitMQ
from conformance.conftest import PRIVATE, URL
from conformance.fields import Api

pytestmark = pytest.mark.skipif(URL is not None, reason="it needs a broker of its own")


@pytest.fixture(scope="module")
def process() -> Iterator[Broker]:
    """A broker with its management API."""
    plugins = ["rabbitmq_management"]
    with RabbitMQ(plugins=plugins) if PRIVATE == "rabbitmq" else Leveret() as broker:
        yield broker


@pytest.fixture(scope="module")
def api(process: Broker) -> Api:
    """Its API, for guest."""
    return Api(f"http://guest:guest@127.0.0.1:{process.management_port}")


def test_who_makes_a_vhost_may_use_it(api: Api) -> None:
    """The user that makes a vhost by PUT gets all permissions in it, and only then."""
    api.ask("PUT", "/users/t_maker", {"password": "p", "tags": "administrator"})
    try:
        assert api.ask("PUT", "/vhosts/t_made", user="t_maker:p")[0] == 201
        granted = {"user": "t_maker", "vhost": "t_made"}
        granted |= {"configure": ".*", "write": ".*", "read": ".*"}
        assert api.get("/vhosts/t_made/permissions") == [granted]
        assert api.ask("PUT", "/queues/t_made/q", {}, user="t_maker:p")[0] == 201
        assert api.ask("DELETE", "/permissions/t_made/t_maker")[0] == 204
        assert api.ask("PUT", "/vhosts/t_made", user="t_maker:p")[0] == 204
        assert api.get("/vhosts/t_made/permissions") == []
    finally:
        api.ask("DELETE", "/vhosts/t_made")
        api.ask("DELETE", "/users/t_maker")


@pytest.mark.parametrize(
    "path",
    ["/overview/", "/queues/%2F/", "/users/", "/users/guest/", "/healthchecks/node/", "/vhosts/"],
)
def test_a_slash_at_the_end_is_ignored(api: Api, path: str) -> None:
    """A path with a slash at its end is the same path."""
    assert api.ask("GET", path)[0] == 200


@pytest.mark.parametrize("key", ["a.%23", "a.%2523"])
def test_a_binding_is_found_by_its_routing_key(api: Api, key: str) -> None:
    """The properties key in a path is understood as it is listed, and with its quoting left out."""
    api.ask("PUT", "/queues/%2F/t_bound", {})
    path = "/bindings/%2F/e/amq.topic/q/t_bound"
    try:
        assert api.ask("POST", path, {"routing_key": "a.#"})[0] == 201
        assert api.get(f"{path}/{key}")["routing_key"] == "a.#"
        assert api.ask("DELETE", f"{path}/{key}")[0] == 204
        assert api.get(path) == []
    finally:
        api.ask("DELETE", "/queues/%2F/t_bound")


def test_the_log_says_that_it_is_up(process: Broker) -> None:
    """What starts containers waits for these words, Testcontainers' modules for one."""
    assert "Server startup complete" in process.log_text()
