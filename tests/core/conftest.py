"""What tests of the model share."""

import pytest

from broker.core.vhost import Vhost
from tests.core.doubles import NOW_MS, make_vhost


@pytest.fixture
def vhost() -> Vhost:
    """An empty vhost, at a certain time."""
    vhost = make_vhost()
    vhost.broker.now_ms = NOW_MS
    return vhost
