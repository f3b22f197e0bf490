"""A private broker with its page, and one headless Chromium for all tests of the page.

Where Chromium or its driver are missing (Debian: chromium, chromium-driver), the tests are skipped
with that reason. LEVERET_PAGE=http://127.0.0.1:15672/ looks at a running broker instead.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from conformance.brokers import Leveret

from .api import Api
from .browser import Browser

NPM_PACKAGES = ("axe-core@4.10.3", "prettier@3.6.2")
START_S = 20.0
EVIL = "<img src=x onerror=alert(1)>"  # a name that would be a script if it became markup


@pytest.fixture(scope="session")
def page_url() -> Iterator[str]:
    """Give the address of the page of a broker that these tests may do anything to."""
    if given := os.environ.get("LEVERET_PAGE"):
        yield given
        return
    with Leveret() as broker:
        url = f"http://127.0.0.1:{broker.management_port}/"
        deadline = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except urllib.error.URLError:
                assert time.monotonic() < deadline, broker.log_text()
                time.sleep(0.05)
        yield url


@pytest.fixture(scope="session")
def chromium(page_url: str) -> Iterator[Browser]:
    """Run one browser for all tests."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("chromium or chromedriver is missing (Debian: chromium, chromium-driver)")
    browser = Browser(program, driver, page_url)
    yield browser
    browser.close()


@pytest.fixture
def api(page_url: str) -> Api:
    """Give the management API behind the page."""
    return Api(page_url)


@pytest.fixture
def client(api: Api) -> Iterator[pika.BlockingConnection]:
    """Give a connection over AMQP, with a name that tries to be markup."""
    parameters = pika.ConnectionParameters(
        "127.0.0.1", api.amqp_port, client_properties={"connection_name": EVIL}
    )
    connection = pika.BlockingConnection(parameters)
    yield connection
    if connection.is_open:
        connection.close()


@pytest.fixture
def stranger(chromium: Browser) -> Iterator[Browser]:
    """Give the browser as it was never here; what it complains of fails the test."""
    chromium.look()
    chromium.forget()
    chromium.run("localStorage.setItem('leveret.refresh_ms', '1000')")
    chromium.complaints()
    yield chromium
    assert chromium.complaints() == []


@pytest.fixture
def page(stranger: Browser) -> Browser:
    """Give the browser logged in, at the overview."""
    stranger.run("sessionStorage.setItem('leveret.authorization', 'Basic ' + btoa('guest:guest'))")
    stranger.load()
    stranger.heading("Overview")
    return stranger


@pytest.fixture(scope="session")
def npm_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a node_modules folder with what the tests use from npm."""
    if not shutil.which("npm"):
        pytest.skip("npm is missing (Debian: npm)")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text(json.dumps({"private": True}))
    options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    command = ["npm", "install", *options, *NPM_PACKAGES]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=90)
    except subprocess.SubprocessError as error:
        pytest.skip(f"{', '.join(NPM_PACKAGES)} cannot be installed from npm: {error}")
    return folder / "node_modules"


@pytest.fixture
def axe(npm_packages: Path) -> str:
    """Give the source of axe-core."""
    return (npm_packages / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
