"""Settings that change while the broker runs: which may, how they are read, all or none."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from broker.config import Config, ConfigError
from broker.config.changes import changed
from broker.config.rows import Family
from broker.config.table import SETTINGS


def test_values_are_read_as_from_a_file(config: Config) -> None:
    """Units and words are those of the file; what is not named stays."""
    was = replace(config, memory_high_watermark_bytes=5)
    now = changed(was, {"disk_free_limit.absolute": "2GB", "log.queue.level": "debug"})
    assert now.disk_free_limit_bytes == 2 * 10**9
    assert dict(now.log_category_levels) == {"queue": "debug"}
    assert now.memory_high_watermark_bytes == 5


def test_none_is_the_default(config: Config) -> None:
    """What is taken back has its default again; a member of a family is gone."""
    was = replace(config, memory_high_watermark_bytes=5, log_category_levels={"queue": "debug"})
    changes = {"vm_memory_high_watermark.absolute": None, "log.queue.level": None}
    now = changed(was, changes)
    assert now.memory_high_watermark_bytes is None
    assert dict(now.log_category_levels) == {}


@pytest.mark.parametrize(
    ("key", "text", "fault"),
    [
        ("disk_free_limit.absolut", "1", "is not a setting; did you mean disk_free_limit."),
        ("heartbeat", "1", "cannot be changed while the broker runs"),
        ("listeners.tcp.default", "1", "cannot be changed while the broker runs"),
        ("disk_free_limit.absolute", "2XB", "must be a size"),
        ("log.level", "", "must be one of debug"),
        ("log.queue.level", "loud", "must be one of debug"),
    ],
)
def test_a_fault_names_the_key(config: Config, key: str, text: str, fault: str) -> None:
    """What is no setting, fixed until a restart, or no such value is said with its key."""
    with pytest.raises(ConfigError) as caught:
        changed(config, {"log.level": "debug", key: text})
    assert caught.value.faults[0].startswith(f"{key} {fault}")


def test_what_may_change_has_a_form_that_changes(config: Config) -> None:
    """A live row is a plain field, or a family whose members are kept by their names."""
    live = [row for row in SETTINGS if row.live]
    assert live
    for row in live:
        assert "." not in row.name
        assert not isinstance(row, Family) or isinstance(getattr(config, row.name), Mapping)
