"""RabbitMQ's names of levels, and the numbers ``logging`` has for them."""

import logging
from collections.abc import Mapping

NOTICE = 25
LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": NOTICE,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}

logging.addLevelName(NOTICE, "NOTICE")
