"""What this process uses of the system, and how much it may use. 0 where that cannot be told."""

from __future__ import annotations

import os
import resource

RESERVED = 100  # descriptors that are neither for clients nor for HTTP
HTTP_MAX = 500
_FILES = "/proc/self/fd"


def open_files() -> int:
    """Descriptors in use, sockets included."""
    try:
        # Linux 6.2 and later count for us; listing costs milliseconds with many connections.
        return os.stat(_FILES).st_size or len(os.listdir(_FILES))
    except OSError:
        return 0


def open_files_max() -> int:
    """Descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def clients_max() -> int:
    """Take as many descriptors as we may have; how many of them clients can use.

    The others are for the log, for HTTP and what else must not fail for many clients.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most - min(RESERVED + http_max(), most // 2)


def http_max() -> int:
    """How many HTTP connections there may be."""
    return min(HTTP_MAX, max(open_files_max() // 10, 1))
