"""What all unit tests share.

The hypothesis profile has no deadline: how long an example takes says nothing on a shared machine,
and a deadline would turn its noise into failures.
"""

from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest

from broker.config import Config, Listener, load

hypothesis.settings.register_profile("leveret", deadline=None, print_blob=True)
hypothesis.settings.load_profile("leveret")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Give the default settings, with a private data directory and a port the kernel chooses."""
    defaults, _ = load(None, (), {})
    return replace(defaults, data_dir=str(tmp_path / "data"), listeners=(Listener("127.0.0.1", 0),))
