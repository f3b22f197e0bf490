"""A person at the page: finds things by what they say, and waits until they are there.

Nothing here knows how the page is built, apart from labels, headings, buttons and links; so a test
reads as what somebody does.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

PATIENCE_S = 10.0
POLL_S = 0.03


class Browser:
    """Headless Chromium showing the page at ``url``."""

    def __init__(self, chromium: str, chromedriver: str, url: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
            options.add_argument(argument)
        options.add_argument("--disable-dev-shm-usage")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(chromedriver))
        self.url = url
        self._loads = 0

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Set the size of the window and what the system prefers; nothing moves by itself."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def forget(self) -> None:
        """Forget logins and preferences, as a new browser would."""
        self.driver.get(f"{self.url}icon.svg")
        self.run("localStorage.clear(); sessionStorage.clear();")

    def load(self, address: str = "/") -> None:
        """Load the page anew at an address behind the #."""
        self._loads += 1  # another query, or the browser would only follow the fragment
        self.driver.get(f"{self.url}?{self._loads}#{address}")

    def go(self, address: str) -> None:
        """Follow a link to an address behind the #."""
        self.run("window.location.hash = arguments[0]", address)

    def log_in(self, user: str = "guest", password: str = "guest") -> None:
        """Fill in the login form and wait for the overview."""
        self.load()
        self.fill("User name", user)
        self.fill("Password", password)
        self.button("Log in").click()

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, what: str, question: Callable[[], Any]) -> Any:
        """Ask until the answer is true, and give it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if answer := question():
                    return answer
            except (StaleElementReferenceException, IndexError):
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen: {what}; the page says:\n{self.text()}")
            time.sleep(POLL_S)

    def text(self, selector: str = "body") -> str:
        """Give the text that can be seen, of the page or a part of it."""
        try:
            return self.driver.find_element(By.CSS_SELECTOR, selector).text
        except WebDriverException:
            return ""

    def sees(self, text: str, selector: str = "body") -> None:
        """Wait for a text."""
        self.until(text, lambda: text in self.text(selector))

    def sees_not(self, text: str, selector: str = "body") -> None:
        """Wait until a text is gone."""
        self.until(f"the end of {text}", lambda: text not in self.text(selector))

    def all(self, selector: str) -> list[WebElement]:
        """Give all elements that can be seen."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [element for element in found if element.is_displayed()]

    def one(self, selector: str) -> WebElement:
        """Wait for an element and give it."""
        return self._into_view(self.until(selector, lambda: self.all(selector)[0]))

    def button(self, text: str) -> WebElement:
        """Wait for a button by its text or its label."""
        return self._named("button", text)

    def link(self, text: str) -> WebElement:
        """Wait for a link by its text."""
        return self._named("main a", text)

    def heading(self, text: str) -> None:
        """Wait for the page with this heading."""
        self.until(f"heading {text}", lambda: self.text("h1") == text)

    def unfold(self, text: str) -> None:
        """Open a part of the page that is folded away."""
        self._named("summary", text).click()

    def fill(self, label: str, value: str) -> None:
        """Write into a field."""
        field = self._field(label)
        field.clear()
        field.send_keys(value)

    def choose(self, label: str, text: str) -> None:
        """Choose an option by the beginning of its text."""
        select = Select(self._field(label))
        option = next(option for option in select.options if option.text.startswith(text))
        select.select_by_visible_text(option.text)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def point_at(self, element: WebElement) -> None:
        """Move the pointer to the middle of an element."""
        ActionChains(self.driver).move_to_element(element).perform()

    def chord(self, modifier: str, key: str) -> None:
        """Press a key while holding another."""
        actions = ActionChains(self.driver).key_down(modifier).send_keys(key)
        actions.key_up(modifier).perform()

    def tab_to(self, text: str, most: int = 100) -> None:
        """Press Tab until what has the focus says this."""
        for _ in range(most):
            self.press(Keys.TAB)
            if self.focused() == text:
                return
        raise AssertionError(f"Tab never came to {text!r}")

    def focused(self) -> str:
        """Give what the element with the focus says."""
        said: str = self.run(
            "const e = document.activeElement;"
            "return (e.getAttribute('aria-label') || e.labels?.[0]?.textContent"
            " || e.textContent || '').trim()"
        )
        return said

    def complaints(self) -> list[str]:
        """Give what the browser complained of: errors of scripts, and what the policy blocked.

        It notes every 404 too. Those of the API are in order: a page may ask once more for what
        was just deleted on it.
        """
        entries = self.driver.get_log("browser")
        found = [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
        return [text for text in found if not ("/api/" in text and "404 (Not Found)" in text)]

    def _named(self, selector: str, text: str) -> WebElement:
        def found() -> WebElement:
            return next(
                element
                for element in self.all(selector)
                if text in (element.text.strip(), element.get_attribute("aria-label"))
            )

        return self._into_view(self.until(f"{selector} {text}", lambda: _or_none(found)))

    def _into_view(self, element: WebElement) -> WebElement:
        # The driver would click what is half under the bar at the top, and hit the bar.
        self.run("arguments[0].scrollIntoView({ block: 'center' })", element)
        return element

    def _field(self, label: str) -> WebElement:
        def found() -> WebElement:
            return next(
                self.driver.find_element(By.ID, name)
                for element in self.all("label")
                if element.text.strip() == label and (name := element.get_attribute("for"))
            )

        element: WebElement = self.until(f"field {label}", lambda: _or_none(found))
        return element


def address_of(kind: str, vhost: str, name: str) -> str:
    """Give the address of an object's page."""
    return f"/{kind}/{quote(vhost, safe='')}/{quote(name, safe='')}"


def _or_none(find: Callable[[], WebElement]) -> WebElement | None:
    try:
        return find()
    except StopIteration:
        return None
