"""What a person does with the page: log in, add, publish, look, retry, delete."""

import json
from pathlib import Path
from urllib.parse import quote

import pika
import pytest
from selenium.webdriver import Keys
from selenium.webdriver.support.select import Select

from .api import Api
from .browser import Browser, address_of

EVIL = "<img src=y onerror=alert(2)>"


def test_login_refused_and_accepted(stranger: Browser) -> None:
    """A wrong password is said in words and keeps one out; the right one lets in."""
    stranger.log_in(password="wrong")
    stranger.sees("Login failed")
    assert "HTTP" not in stranger.text(".notice")
    stranger.fill("Password", "guest")
    stranger.button("Log in").click()
    stranger.heading("Overview")
    # The browser itself notes the refused request.
    assert all("401" in complaint for complaint in stranger.complaints())


def test_add_queue_publish_look_and_delete(page: Browser, api: Api) -> None:
    """A queue is added, published to, looked into without a trace, and deleted by its name."""
    page.go("/queues")
    page.heading("Queues and streams")
    page.unfold("Add a queue")
    page.fill("Name", EVIL)
    page.button("Add queue").click()
    page.link(EVIL).click()
    page.heading(EVIL)
    page.unfold("Publish a message to this queue")
    page.fill("Payload", f'{{"a": "{EVIL}"}}')
    page.button("Publish message").click()
    page.sees("at least one queue has it")
    page.button("Look at messages").click()
    page.one(".messages summary").click()
    page.sees(f'"a": "{EVIL}"', ".payload")
    assert [message["redelivered"] for message in api.take(EVIL)] == [False]
    assert page.all("main img") == []
    page.until("the message counted", lambda: "Total\n1" in page.text(".figures"))
    page.button("Delete queue").click()
    assert not page.one("dialog button.danger").is_enabled()
    page.fill("Type the name to confirm", EVIL)
    page.one("dialog button.danger").click()
    page.heading("Queues and streams")
    page.sees_not(EVIL, "main table")
    assert api.call("GET", f"/queues/%2F/{quote(EVIL)}") is None


def test_search_in_messages(page: Browser, api: Api) -> None:
    """A search shows the messages that have the words in payload or headers, and no others."""
    api.queue("ui.search")
    for number in range(5):
        api.publish("ui.search", f"order {number}")
    page.go(address_of("queues", "/", "ui.search"))
    page.heading("ui.search")
    page.one(".browser input[type=search]").send_keys("order 3")
    page.button("Look at messages").click()
    page.sees("1 match")
    assert len(page.all(".messages > li")) == 1
    assert "order 3" in page.text(".messages")


def test_who_holds_messages(page: Browser, api: Api, client: pika.BlockingConnection) -> None:
    """What a consumer has not acknowledged is shown with the consumer, and stays with it."""
    api.queue("ui.held")
    channel = client.channel()
    channel.basic_consume("ui.held", lambda *_: None, consumer_tag="slow")
    api.publish("ui.held", "job 1")
    page.go(address_of("queues", "/", "ui.held"))
    page.button("Unacknowledged").click()
    page.sees("1 of 1 unacknowledged message")
    page.one(".messages summary").click()
    page.sees("consumer slow on channel")
    assert page.all(".messages input") == []
    channel.close()
    assert api.payloads("ui.held") == ["job 1"]


def test_retry_dead_letters(page: Browser, api: Api) -> None:
    """Selected dead letters go back to the queue that they died in; the others stay."""
    api.queue(
        "ui.work",
        **{"x-max-length": 0, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "ui.dead"},
    )
    api.queue("ui.dead")
    for number in range(3):
        api.publish("ui.work", f"job {number}")
    # The queue that let nothing in is replaced by one that does.
    api.call("DELETE", "/queues/%2F/ui.work")
    api.queue("ui.work")
    page.go(address_of("queues", "/", "ui.dead"))
    page.button("Look at messages").click()
    page.sees("maxlen from ui.work")
    for number in (1, 3):
        page.one(f"input[aria-label='Select message {number}']").click()
    page.button("Retry").click()
    page.one("dialog button.primary").click()
    page.sees("2 messages moved")
    page.until("one message left", lambda: len(page.all(".messages > li")) == 1)
    assert api.payloads("ui.dead") == ["job 1"]
    assert api.payloads("ui.work") == ["job 0", "job 2"]


def test_move_and_delete_messages(page: Browser, api: Api) -> None:
    """Messages are moved to a queue by name, and deleted for good."""
    api.queue("ui.from")
    api.queue("ui.to")
    for number in range(3):
        api.publish("ui.from", f"m{number}")
    page.go(address_of("queues", "/", "ui.from"))
    page.button("Look at messages").click()
    page.one("input[aria-label='Select message 1']").click()
    page.button("Move to…").click()
    page.fill("Name of the queue", "ui.to")
    page.button("Move").click()
    page.sees("1 message moved")
    page.until("two messages left", lambda: len(page.all(".messages > li")) == 2)
    page.one("input[aria-label='Select message 1']").click()
    page.button("Delete").click()
    page.one("dialog button.danger").click()
    page.sees("1 message deleted")
    assert api.payloads("ui.to") == ["m0"]
    assert api.payloads("ui.from") == ["m2"]


def test_bind_and_unbind_and_topology(page: Browser, api: Api) -> None:
    """A binding made on the page routes, shows in the topology, and ends when it is taken away."""
    api.queue(EVIL)
    api.call("PUT", "/exchanges/%2F/ui.events", {"type": "topic", "durable": True})
    page.go(address_of("exchanges", "/", "ui.events"))
    page.unfold("Bind a queue or exchange to it")
    page.fill("Its name", EVIL)
    page.fill("Routing key", "a.#")
    page.button("Bind").click()
    page.sees(EVIL, "main table")
    api.publish("a.b", "routed", exchange="ui.events")
    page.go("/topology?name=ui.events")
    page.until("both boxes", lambda: len(page.all(".topology .box")) == 2)
    assert "ui.events" in page.text(".topology")
    assert page.all(".topology img") == []
    page.go(address_of("exchanges", "/", "ui.events"))
    page.button(f"Unbind a.# from {EVIL}").click()
    page.one("dialog button.danger").click()
    page.sees("Nothing is bound to this exchange")
    assert api.call("GET", "/exchanges/%2F/ui.events/bindings/source") == []


def test_topology_around_one_thing(page: Browser, api: Api) -> None:
    """A box leads to the picture around it, with dead letters, and from there to its page."""
    dead = {"x-dead-letter-exchange": "ui.dlx"}
    api.queue("ui.worked", **dead)
    api.queue("ui.buried")
    api.bind("ui.source", "ui.worked", "a")
    api.bind("ui.dlx", "ui.buried", "#")
    page.go("/topology?name=ui.buried")
    page.one("[data-id='queue:ui.buried']").click()
    page.sees("Around the queue ui.buried")
    page.until("two boxes", lambda: len(page.all(".topology .box")) == 2)
    page.choose("Distance", "3 steps")
    page.until("all four", lambda: len(page.all(".topology .box")) == 4)
    page.unfold("The same in words")
    page.sees("ui.worked dead-letters to the exchange ui.dlx")
    page.one("[data-id='queue:ui.buried']").click()
    page.heading("ui.buried")


def test_cancel_delayed_message(page: Browser, api: Api) -> None:
    """A delayed message is listed until it is cancelled, and is never delivered then."""
    body = {"type": "x-delayed-message", "durable": True, "arguments": {"x-delayed-type": "fanout"}}
    api.call("PUT", "/exchanges/%2F/ui.later", body)
    message = {"routing_key": "mail", "payload": "x", "payload_encoding": "string"}
    message["properties"] = {"headers": {"x-delay": 3_600_000}}
    api.call("POST", "/exchanges/%2F/ui.later/publish", message)
    page.go("/delayed")
    page.one("input[aria-label='Select mail']").click()
    page.button("Cancel 1 selected").click()
    page.one("dialog button.danger").click()
    page.sees("Nothing is delayed")


def test_user_policy_limit_and_vhost(page: Browser, api: Api) -> None:
    """Users, permissions, policies, limits and virtual hosts are made and unmade on their pages."""
    page.go("/vhosts")
    page.unfold("Add a virtual host")
    page.fill("Name", EVIL)
    page.button("Add virtual host").click()
    page.link(EVIL)
    page.go("/users")
    page.unfold("Add a user")
    page.fill("Name", "ui.ann")
    page.fill("Password", "secret one")
    page.fill("Password again", "secret two")
    page.button("Add user").click()
    page.sees("The two passwords differ")
    page.fill("Password again", "secret one")
    page.button("Add user").click()
    page.link("ui.ann").click()
    page.unfold("Set permissions")
    page.choose("Virtual host", EVIL)
    page.button("Set permissions").click()
    page.sees(EVIL, "main table")
    page.button(f"Clear permissions of ui.ann in {EVIL}").click()
    page.one("dialog button.danger").click()
    page.sees("this user cannot open a connection")
    page.go("/policies")
    page.unfold("Set a policy")
    page.fill("Name", "ui.short")
    page.fill("Pattern", "^ui\\.short")
    page.button("Set policy").click()
    page.sees("The definition needs at least one entry")
    page.choose("Definition", "max-length")
    page.one(".argument .value").send_keys("7")
    page.button("Set policy").click()
    page.button("Delete the policy ui.short")
    assert api.call("GET", "/policies/%2F/ui.short")["definition"] == {"max-length": 7}
    page.button("Change the policy “ui.short”").click()
    value = page.one("dialog .argument .value")
    value.clear()
    value.send_keys("8\n")
    page.sees("max-length 8", "main table")
    page.button("Change the policy “ui.short”").click()
    assert page.one("dialog .argument .value").get_attribute("value") == "8"
    page.press(Keys.ESCAPE)
    page.go("/limits")
    page.unfold("Set a limit of a user")
    page.fill("User", "ui.ann")
    page.fill("Value", "3")
    page.button("Set limit").click()
    page.button("Clear max-connections of ui.ann")
    page.go("/users/ui.ann")
    page.button("Delete user").click()
    page.one("dialog button.danger").click()
    page.heading("Users")
    page.sees_not("ui.ann", "main table")
    page.go(f"/vhosts/{EVIL}")
    page.button("Delete virtual host").click()
    page.fill("Type the name to confirm", EVIL)
    page.one("dialog button.danger").click()
    page.heading("Virtual hosts")
    page.sees_not(EVIL, "main table")
    page.go("/policies")
    page.button("Delete the policy ui.short").click()
    page.one("dialog button.danger").click()
    page.sees_not("ui.short", "main")


def test_delete_selected_queues(page: Browser, api: Api) -> None:
    """Ticked queues are deleted together, after their names were shown; the others stay."""
    for number in range(3):
        api.queue(f"ui.some.{number}")
    page.go("/queues?name=ui.some")
    for number in (0, 2):
        page.one(f"input[aria-label='Select ui.some.{number}']").click()
    page.button("Delete 2 selected").click()
    page.sees("ui.some.0\nui.some.2", "dialog .named")
    page.one("dialog button.danger").click()
    page.sees("2 queues deleted")
    page.until("one row", lambda: len(page.all("tbody tr")) == 1)
    found = api.call("GET", "/queues?name=ui.some&page=1&columns=name")["items"]
    assert [queue["name"] for queue in found] == ["ui.some.1"]


def test_definitions_out_and_in(page: Browser, api: Api, tmp_path: Path) -> None:
    """Definitions are saved as a file; what was deleted since comes back when it is uploaded."""
    api.queue("ui.kept")
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    page.go("/definitions")
    page.fill("File name", "saved.json")
    page.button("Download definitions").click()
    saved = tmp_path / "saved.json"
    page.until("the file", saved.exists)
    names = [queue["name"] for queue in json.loads(saved.read_text())["queues"]]
    assert "ui.kept" in names
    api.call("DELETE", "/queues/%2F/ui.kept")
    page.fill("File", str(saved))
    page.button("Upload definitions…").click()
    page.sees("1 user", "dialog")
    page.one("dialog button.danger").click()
    page.sees("The definitions are in place")
    assert api.call("GET", "/queues/%2F/ui.kept")["durable"]


def test_user_with_few_rights(stranger: Browser, api: Api) -> None:
    """Who may not administrate is not led there, and is told so in words; no tag, no entry."""
    for name, tags in (("ui.watcher", "management"), ("ui.none", "")):
        api.call("PUT", f"/users/{name}", {"password": "p", "tags": tags})
    permissions = {"configure": "", "write": "", "read": ".*"}
    api.call("PUT", "/permissions/%2F/ui.watcher", permissions)
    stranger.log_in("ui.none", "p")
    stranger.sees("none of the tags")
    stranger.fill("User name", "ui.watcher")
    stranger.button("Log in").click()
    stranger.heading("Overview")
    assert "Users" not in stranger.text("nav")
    stranger.go("/queues")
    stranger.unfold("Add a queue")
    stranger.fill("Name", "ui.forbidden")
    stranger.button("Add queue").click()
    stranger.sees("You may not do this", ".form .notice")
    assert all("401" in complaint for complaint in stranger.complaints())


def test_error_of_the_api_in_words(page: Browser, api: Api) -> None:
    """What the broker refuses is said in its words, beside the form."""
    api.queue("ui.taken")
    page.go("/queues")
    page.unfold("Add a queue")
    page.fill("Name", "ui.taken")
    page.choose("Type", "quorum")
    page.button("Add queue").click()
    page.sees("nequivalent arg", ".form .notice")
    page.go(address_of("queues", "/", "ui.none"))
    page.sees("There is no such queue")
    # The browser itself notes the refused request.
    assert all("400" in line for line in page.complaints())


def test_log_tail(page: Browser, api: Api) -> None:
    """The log shows lines as they are written, of a category and with words that one chooses."""
    page.go("/logs")
    page.heading("Log")
    page.until("a line", lambda: page.all(".log time"))
    api.call("PUT", "/users/ui.logged", {"password": "p", "tags": ""})
    page.sees('"ui.logged"', ".log")
    page.one("[data-filter]").send_keys("ui.logged")
    page.until("one line", lambda: len(page.all(".log p")) == 1)
    Select(page.one("select[aria-label=Category]")).select_by_visible_text("audit")
    page.sees("ui.logged", ".log")
    api.call("DELETE", "/users/ui.logged")
    page.until("two lines", lambda: len(page.all(".log p")) == 2)


def test_parameters(page: Browser, api: Api) -> None:
    """A parameter is set as JSON and cleared; what is no JSON is said beside the form."""
    page.go("/parameters")
    page.unfold("Set a global parameter")
    page.fill("Name", "ui.note")
    page.fill("Value", "text")
    page.button("Set global parameter").click()
    page.sees("needs to be valid JSON")
    page.fill("Value", f'{{"a": "{EVIL}"}}')
    page.button("Set global parameter").click()
    page.sees(f'{{"a":"{EVIL}"}}', "main")
    assert api.call("GET", "/global-parameters/ui.note")["value"] == {"a": EVIL}
    page.button("Clear the global parameter ui.note").click()
    page.one("dialog button.danger").click()
    page.sees_not("ui.note", "main table")


def test_settings_while_the_broker_runs(page: Browser, api: Api) -> None:
    """A setting is changed until the broker ends; one that cannot be is said in words."""
    page.go("/settings?name=disk_free")
    page.unfold("Change a setting")
    page.fill("Setting", "channel_max")
    page.fill("Value", "1")
    page.button("Change setting").click()
    page.sees("channel_max cannot be changed while the broker runs")
    page.fill("Setting", "disk_free_limit.absolute")
    page.fill("Value", "77MB")
    page.button("Change setting").click()
    page.sees("77MB", "main table")
    assert api.call("GET", "/settings")["disk_free_limit.absolute"] == "77MB"
    api.call("PUT", "/settings", {"disk_free_limit.absolute": None})
    # The browser itself notes the refused request.
    assert all("400" in line for line in page.complaints())


def test_trace(page: Browser, api: Api, tmp_path: Path) -> None:
    """What is published while a trace runs is in its file, which is downloaded and deleted here."""
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    page.go("/traces")
    page.unfold("Start a trace")
    page.fill("Name", "ui.seen")
    page.button("Start trace").click()
    page.button("Stop the trace ui.seen")
    api.queue("ui.traced")
    api.publish("ui.traced", "traced payload")
    page.until("the file", lambda: api.call("GET", "/trace-files")[0]["size"])
    page.button("Stop the trace ui.seen").click()
    page.one("dialog button.danger").click()
    page.sees("No trace is running")
    page.button("Download ui.seen.log").click()
    saved = tmp_path / "ui.seen.log"
    page.until("the payload", lambda: saved.exists() and "traced payload" in saved.read_text())
    page.button("Delete ui.seen.log").click()
    page.one("dialog button.danger").click()
    page.sees("No trace has written a file")


def test_maintenance(page: Browser, api: Api, client: pika.BlockingConnection) -> None:
    """Clients are turned away for maintenance, and served again."""
    page.go(f"/nodes/{quote(api.call('GET', '/overview')['node'], safe='')}")
    page.button("Turn clients away…").click()
    page.one("dialog button.danger").click()
    page.sees("clients are turned away")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="maintenance"):
        client.process_data_events(5)
    page.button("Serve clients again").click()
    page.button("Turn clients away…")
    pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", api.amqp_port)).close()


def test_close_connection_with_reason(
    page: Browser, api: Api, client: pika.BlockingConnection
) -> None:
    """Who closes a connection may say why, in any language; the client is told."""
    page.go("/connections")
    page.one("main tbody a").click()
    page.button("Close connection").click()
    page.fill("Reason, told to the client", "Umzug nach Köln")
    page.one("dialog button.danger").click()
    page.heading("Connections")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="Umzug nach Köln"):
        client.process_data_events(5)
