"""Who can use the page: on a phone, in the dark, without seeing it, with 10,000 queues."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pika
import pytest
from selenium.webdriver import Keys

from .api import Api
from .browser import Browser, address_of
from .conftest import EVIL

PAGES = (
    "/",
    "/connections",
    "/channels",
    "/exchanges",
    address_of("exchanges", "/", "ui.orders"),
    address_of("exchanges", "/", EVIL),
    "/queues",
    address_of("queues", "/", EVIL),
    "/topology",
    f"/topology?queue={quote(EVIL, safe='')}",
    "/delayed",
    "/logs",
    "/traces",
    "/users",
    "/users/guest",
    f"/users/{quote(EVIL, safe='')}",
    "/vhosts",
    f"/vhosts/{quote(EVIL, safe='')}",
    "/policies",
    "/limits",
    "/definitions",
    "/parameters",
    "/feature-flags",
    "/settings",
    "/nowhere",
)


@pytest.fixture
def furnished(page: Browser, api: Api, client: pika.BlockingConnection) -> Iterator[Browser]:
    """Give the page of a broker that has something to show everywhere, under hostile names."""
    evil = quote(EVIL, safe="")
    api.queue(EVIL)
    channel = client.channel()
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(EVIL, lambda *_: None, consumer_tag=EVIL)
    api.bind("ui.orders", EVIL, "order.#")
    for _ in range(2):  # one for the consumer, one that waits
        api.publish("order.1", EVIL, exchange="ui.orders")
    policy = {"pattern": "^(ui|<)", "definition": {"max-length": 1000}, "apply-to": "queues"}
    made = {
        f"/policies/%2F/{evil}": policy,
        f"/users/{evil}": {"password": "p", "tags": EVIL},
        f"/vhosts/{evil}": {"description": EVIL},
        f"/permissions/{evil}/{evil}": {"configure": EVIL, "write": "", "read": ".*"},
        f"/exchanges/%2F/{evil}": {"type": "fanout", "arguments": {EVIL: EVIL}},
        f"/global-parameters/{evil}": {"value": {EVIL: EVIL}},
        f"/vhost-limits/{evil}/max-queues": {"value": 9},
    }
    for path, body in made.items():
        api.call("PUT", path, body)
    page.load()
    page.heading("Overview")
    yield page
    for path in reversed(made):
        api.call("DELETE", path)


def test_theme_is_kept(page: Browser) -> None:
    """The theme follows the system until one is chosen; the choice outlives a reload."""

    def ground() -> str:
        color: str = page.run("return getComputedStyle(document.body).backgroundColor")
        return color

    light = ground()
    page.look(dark=True)
    dark = ground()
    assert light != dark
    page.button("Theme: system. Change it").click()
    assert ground() == light
    page.load()
    page.button("Theme: light. Change it").click()
    page.look(dark=False)
    assert ground() == dark


def test_refresh_keeps_the_focus(furnished: Browser) -> None:
    """A refresh of the list leaves the focus, the rows and what is in view where they are."""
    furnished.look(height=300)
    furnished.go("/queues")
    furnished.link(EVIL)
    furnished.press("j")
    before = furnished.run("return document.activeElement.textContent")
    assert furnished.run("return document.activeElement.tagName") == "A"
    furnished.run("window.row = document.querySelector('main tbody tr'); scrollTo(0, 40)")
    furnished.press("r")
    furnished.until("a refresh", lambda: furnished.run(_FETCHED) > 2)
    assert furnished.run("return document.activeElement.textContent") == before
    assert furnished.run("return window.row.isConnected")
    assert furnished.run("return scrollY") == 40


def test_chart_says_its_values(page: Browser) -> None:
    """A chart marks the values next to the pointer, and shows them as a table to who cannot see."""
    plot = page.one(".plot")
    page.until("a line", lambda: plot.find_elements("css selector", "path"))
    page.point_at(plot)
    page.sees("Unacknowledged 0", ".cursor")
    page.tab_to("Queued messages as a table")
    page.press(Keys.ENTER)
    page.until("rows", lambda: len(page.all(".values tbody tr")) > 60)
    assert page.text(".values thead") == "Time Total Ready Unacknowledged"


@pytest.mark.parametrize(
    ("width", "dark"), [(1280, False), (1280, True), (400, True)], ids=["light", "dark", "phone"]
)
def test_accessible(furnished: Browser, api: Api, axe: str, width: int, dark: bool) -> None:
    """On every page axe-core finds nothing serious, and nothing is wider than the window."""
    furnished.look(width=width, dark=dark)
    furnished.load()
    furnished.heading("Overview")
    furnished.run(axe)
    faults: dict[str, list[str]] = {}

    def examine(what: str) -> None:
        found = violations(furnished)
        if furnished.run("return document.documentElement.scrollWidth > innerWidth"):
            found.append("wider than the window")
        if furnished.all("img:not([src='icon.svg'])"):
            found.append("a name became markup")
        if found:
            faults[what] = found

    for address in [*PAGES, *things(api)]:
        show(furnished, address)
        examine(address)
    show(furnished, address_of("queues", "/", EVIL))
    furnished.button("Queued messages as a table").click()
    furnished.button("Unacknowledged").click()
    furnished.one(".messages summary").click()
    examine("a chart as a table, unacknowledged messages")
    furnished.button("Look at messages").click()
    furnished.one(".messages summary").click()
    furnished.button("Delete queue").click()
    furnished.one("dialog")
    examine("messages and a dialog")
    furnished.press(Keys.ESCAPE)
    furnished.button("Keyboard shortcuts").click()
    examine("help")
    furnished.press(Keys.ESCAPE)
    furnished.button("Log out").click()
    furnished.button("Log in")
    examine("login")
    assert not faults, json.dumps(faults, indent=1)


def test_ten_thousand_queues(page: Browser, api: Api) -> None:
    """With 10,000 queues the list shows one page; filter and order are the server's work."""
    api.call("PUT", "/vhosts/ui.many")
    common = {"durable": False, "auto_delete": False, "arguments": {}}
    queues = [{"name": f"many.{n:05}", **common} for n in range(10_000)]
    api.call("POST", "/definitions/ui.many", {"queues": queues})
    page.load("/queues?name=many&sort=name&reverse=1")
    page.sees("many.09999", "tbody tr")
    assert len(page.all("tbody tr")) == 50
    page.sees("10,000", ".position")
    filter_ = page.one("[data-filter]")
    filter_.clear()
    filter_.send_keys("many.0123")
    page.until("ten rows", lambda: len(page.all("tbody tr")) == 10)
    api.call("DELETE", "/vhosts/ui.many")


_FETCHED = """
return performance.getEntriesByType('resource')
  .filter(({ name }) => name.includes('/api/queues?')).length
"""


def things(api: Api) -> Iterator[str]:
    """Give the addresses of what there is one of: the node, a connection, a channel."""
    for kind in ("nodes", "connections", "channels"):
        yield f"/{kind}/{quote(api.call('GET', f'/{kind}')[0]['name'], safe='')}"


def show(page: Browser, address: str) -> None:
    """Go to a page and wait until it has fetched what it shows."""
    page.go(address)
    page.until(address, lambda: page.run(_SHOWN, f"#{address}"))


_SHOWN = """
return location.hash === arguments[0] && document.querySelector('main h1')
  && !document.querySelector('main .notice.bad:not([hidden])')
  && [...document.querySelectorAll('main .listing')].every((l) => l.querySelector('tbody tr')
      || !l.querySelector('.empty').hidden)
"""


def violations(page: Browser) -> list[str]:
    """Run axe and give what it found to be serious or critical."""
    found: list[str] = page.driver.execute_async_script("""
    const done = arguments[0];
    axe.run(document, { resultTypes: ["violations"] }).then((result) => done(result.violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((n) => n.html).join(" | ")}`)));
    """)
    return found
