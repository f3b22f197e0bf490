"""What all unit tests share.

The hypothesis profile has no deadline: how long an example takes says nothing on a shared machine,
and a deadline would turn its noise into failures. The examples are the same in every run, so that
a failure is about the change at hand; HYPOTHESIS_PROFILE=explore looks for new ones.
"""

import os
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest

from broker.config import Config, Listener, load

hypothesis.settings.register_profile("same", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Give the default settings, with a private data directory and a port the kernel chooses."""
    defaults, _ = load(None, (), {})
    return replace(defaults, data_dir=str(tmp_path / "data"), listeners=(Listener("127.0.0.1", 0),))
