"""What other sites, hostile names and whoever comes after cannot do."""

import urllib.error
import urllib.request
from urllib.parse import quote, urlsplit

import pytest

from .api import Api
from .browser import Browser

HEADERS = {"Content-Type": "text/plain", "Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}
MESSAGE = (
    '{"properties": {}, "routing_key": "ui.forged", "payload": "x", "payload_encoding": "string"}'
)


def test_form_of_another_site_changes_nothing(stranger: Browser, api: Api) -> None:
    """A form elsewhere, in a browser that knows the password, cannot publish or change anything."""
    api.queue("ui.forged")
    address = urlsplit(stranger.url)
    stranger.driver.get(f"{address.scheme}://guest:guest@{address.netloc}/api/whoami")
    stranger.sees("guest")
    form = (
        f"<form id=f method=post enctype=text/plain action='{stranger.url}api/exchanges/%2F/"
        f"amq.default/publish'><input name='{MESSAGE[:-1]}, &quot;x' value='&quot;: 1}}'></form>"
    )
    stranger.driver.get(f"data:text/html,{quote(form)}")
    stranger.run("document.getElementById('f').submit()")
    stranger.sees("a page of another site may not")
    assert api.payloads("ui.forged") == []
    assert all("403" in complaint for complaint in stranger.complaints())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://proxy.example"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://other.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://other.example", "Content-Type": "application/json"}, 200),
    ],
)
def test_who_may_post(page_url: str, headers: dict[str, str], status: int) -> None:
    """Programs and the page itself may post; a browser that says it is for another site may not."""
    url = f"{page_url}api/exchanges/%2F/amq.default/publish"
    request = urllib.request.Request(url, MESSAGE.encode(), {**HEADERS, **headers}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            found = response.status
    except urllib.error.HTTPError as error:
        found = error.code
    assert found == status


def test_nothing_secret_is_kept(page: Browser) -> None:
    """What outlives the tab holds preferences only; the login ends with it, or with logging out."""
    stored = page.run("return JSON.stringify(localStorage) + document.cookie")
    assert "guest" not in stored
    assert "Z3Vlc3Q6Z3Vlc3Q" not in stored
    page.button("Log out").click()
    page.button("Log in")
    assert page.run("return sessionStorage.length") == 0
    page.load("/queues")
    page.button("Log in")
