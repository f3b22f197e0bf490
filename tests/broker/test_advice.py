"""What the operator is told to do about an error that ended the broker."""

import errno

import pytest

from broker.advice import advice
from broker.wal import CorruptLog, DirectoryInUse, LogFailed, UnknownVersion


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DirectoryInUse("data"), "stop that broker"),
        (UnknownVersion(2, 1), "newer Leveret"),
        (UnknownVersion(0, 1), "older Leveret"),
        (CorruptLog("1.log", 9, "?"), "leveret log verify"),
        (OSError(errno.ENOSPC, "full"), "free some disk space"),
        (OSError(errno.EROFS, "read-only"), "kernel's log"),
        (PermissionError(errno.EACCES, "no"), "user that runs the broker"),
        (OSError(errno.EIO, "broken"), "copy the data directory"),
        (LogFailed("closed"), "kernel's log"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_advice(error: Exception, words: str) -> None:
    """Each error has words that say what to do."""
    assert words in advice(error)


def test_what_is_behind_a_failed_log_counts() -> None:
    """A log that failed for a full disk asks for space."""
    failure = LogFailed("the log cannot be written")
    failure.__cause__ = OSError(errno.ENOSPC, "full")
    assert "free some disk space" in advice(failure)
