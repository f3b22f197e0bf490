"""Lines for a syslog server, by UDP: whoever is slow there keeps nobody waiting here.

Owns: the two forms of a message, RFC 5424 and the older RFC 3164. The server's address is looked up
once; a line that does not arrive is lost, as UDP has it.
"""

from __future__ import annotations

import datetime
import logging
import logging.handlers
import os
import socket

from broker.logs.formats import category

_SEVERITIES = {"DEBUG": "debug", "INFO": "info", "NOTICE": "notice", "WARNING": "warning"}
_SEVERITIES |= {"ERROR": "err", "CRITICAL": "crit"}


class Syslog(logging.handlers.SysLogHandler):
    """One server. Raises ``OSError`` if its name is not known."""

    append_nul = False  # what the standard library adds for daemons of old

    def __init__(self, host: str, port: int, facility: str, identity: str, protocol: str) -> None:
        place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4]
        super().__init__((str(place[0]), port), self.facility_names[facility], socket.SOCK_DGRAM)
        self._who = identity
        self._here = socket.gethostname()
        self._form = self._rfc5424 if protocol == "rfc5424" else self._rfc3164

    def mapPriority(self, levelName: str) -> str:  # noqa: N802, N803
        """The severity that syslog has for a level."""
        return _SEVERITIES.get(levelName, "warning")

    def format(self, record: logging.LogRecord) -> str:
        """A message without its priority, which ``emit`` puts before it."""
        return self._form(record, super().format(record))

    def _rfc5424(self, record: logging.LogRecord, text: str) -> str:
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat()
        head = f"1 {time} {self._here} {self._who} {os.getpid()} {category(record)} -"
        return f"{head} {text}"

    def _rfc3164(self, record: logging.LogRecord, text: str) -> str:
        time = datetime.datetime.fromtimestamp(record.created)
        stamp = f"{time:%b} {time.day:2} {time:%H:%M:%S}"
        return f"{stamp} {self._here} {self._who}[{os.getpid()}]: {text}"
