"""All that can be done can be done with the keyboard alone."""

from selenium.webdriver import Keys

from .api import Api
from .browser import Browser, address_of

QUEUE, OTHER = "ui.keys", "ui.keys.other"


def test_work_without_a_pointer(stranger: Browser, api: Api) -> None:
    """Log in, add a queue, publish, look, move, purge, delete, add a user: it takes no pointer."""
    api.queue(OTHER)
    stranger.load()
    stranger.button("Log in")
    stranger.press("guest", Keys.TAB, "guest", Keys.ENTER)
    stranger.heading("Overview")
    stranger.press("g", "q")
    stranger.heading("Queues and streams")
    stranger.press("n")
    stranger.tab_to("Name")
    stranger.press(QUEUE, Keys.ENTER)
    # The new queue has the focus: Enter opens it.
    stranger.until("the new queue", lambda: stranger.focused() == QUEUE)
    stranger.press(Keys.ENTER)
    stranger.heading(QUEUE)
    publish(stranger, "one")
    look(stranger)
    stranger.tab_to("Select message 1")
    stranger.press(Keys.SPACE)
    stranger.tab_to("Move to…")
    stranger.press(Keys.ENTER)
    stranger.one("dialog")
    stranger.tab_to("Name of the queue")
    stranger.press(OTHER, Keys.ENTER)
    stranger.sees("1 message moved")
    assert api.payloads(OTHER) == ["one"]
    # The button went with the message: the focus is where one goes on.
    stranger.until("the focus", lambda: stranger.focused() == "Look at messages")
    publish(stranger, "two")
    stranger.tab_to("Purge")
    stranger.press(Keys.ENTER)
    stranger.one("dialog")
    stranger.press(QUEUE, Keys.ENTER)
    stranger.sees("is purged")
    assert stranger.focused() == "Purge"
    delete(stranger)
    add_user(stranger)
    assert api.call("GET", "/users/ui.typed")["tags"] == []
    api.call("DELETE", "/users/ui.typed")


def publish(page: Browser, payload: str) -> None:
    """Publish by the form at the end of a queue's page, folded or not."""
    if not page.all("textarea"):
        page.tab_to("Publish a message to this queue")
        page.press(Keys.ENTER)
    page.tab_to("Payload")
    page.chord(Keys.CONTROL, "a")
    page.press(payload)
    page.tab_to("Publish message")
    page.press(Keys.ENTER)
    page.sees("at least one queue has it")
    page.until("the message counted", lambda: "Total\n1" in page.text(".figures"))


def look(page: Browser) -> None:
    """Look at the messages, and open the first."""
    page.tab_to("Look at messages")
    page.press(Keys.ENTER)
    page.sees("The first 1 of 1 ready message")


def delete(page: Browser) -> None:
    """Delete the queue, at the second try: the first dialog is left by Escape."""
    page.tab_to("Delete queue")
    page.press(Keys.ENTER)
    page.one("dialog")
    for _ in range(6):
        page.press(Keys.TAB)
        assert page.run("return document.activeElement.closest('main, .top, nav')") is None
    page.press(Keys.ESCAPE)
    page.until("the end of the dialog", lambda: not page.all("dialog"))
    assert page.focused() == "Delete queue"
    page.press(Keys.ENTER)
    page.tab_to("Delete")
    page.press(Keys.ENTER)
    page.heading("Queues and streams")


def add_user(page: Browser) -> None:
    """Add a user."""
    page.press("g", "u")
    page.heading("Users")
    page.press("n")
    page.until("the first field", lambda: page.focused() == "Name")
    page.press("ui.typed", Keys.TAB, "secret", Keys.TAB, "secret", Keys.ENTER)
    page.link("ui.typed")


def test_focus_can_be_seen(page: Browser, api: Api) -> None:
    """Wherever Tab leads, the focus shows, and is not under the bar at the top."""
    api.queue(OTHER)
    page.go(address_of("queues", "/", OTHER))
    page.heading(OTHER)
    unseen = set()
    for _ in range(70):
        page.press(Keys.TAB)
        if not page.run(SHOWS):
            unseen.add(page.focused())
    assert unseen == set()


SHOWS = """
const e = document.activeElement;
if (e === document.body) return true;
const { outlineStyle, outlineWidth } = getComputedStyle(e);
const box = e.getBoundingClientRect();
const top = e.closest(".top, .skip") ? 0 : document.querySelector(".top").offsetHeight;
return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2
  && box.bottom > top && box.top < innerHeight;
"""


def test_search_and_filter(page: Browser, api: Api) -> None:
    """A queue is found by the search from anywhere, and by the filter of the list."""
    api.queue(OTHER)
    page.chord(Keys.CONTROL, "k")
    page.one("[role=combobox]").send_keys(OTHER)
    page.until("the queue found", lambda: "queue" in page.text("[aria-selected=true]"))
    page.press(Keys.ENTER)
    page.heading(OTHER)
    page.press("g", "q")
    page.heading("Queues and streams")
    page.press("/")
    page.press(OTHER, Keys.ENTER)
    page.until("the row", lambda: page.run("return document.activeElement.tagName") == "A")
    page.press(Keys.ENTER)
    page.heading(OTHER)


def test_skip_link_and_help(page: Browser) -> None:
    """The first Tab offers to skip the navigation; ? lists the shortcuts and Escape closes it."""
    page.load("/queues")
    page.heading("Queues and streams")
    page.press(Keys.TAB, Keys.ENTER)
    assert page.run("return document.activeElement.id") == "main"
    page.press("?")
    page.sees("Filter the list", "dialog")
    page.press(Keys.ESCAPE)
    page.until("the end of the dialog", lambda: not page.all("dialog"))


def test_single_keys_can_be_switched_off(page: Browser) -> None:
    """Who dictates or leans on keys can switch single-key shortcuts off, and the choice is kept."""
    page.press("?")
    page.one("dialog input[type=checkbox]").click()
    page.press(Keys.ESCAPE)
    page.load("/queues")
    page.heading("Queues and streams")
    page.press("g", "e", "?")
    assert page.text("h1") == "Queues and streams"
    assert page.all("dialog") == []
