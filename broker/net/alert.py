"""The last word of a TLS handshake that fails: the alert that tells the client why.

OpenSSL writes one, but neither uvloop nor asyncio sends it: they close the socket, and the client
has nothing but an end of file. ``AlertingContext`` keeps it, in the exception; ``send`` is for
whoever still has a descriptor of the socket.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any


class _Handshake(ssl.SSLObject):
    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            error.alert = self.outgoing.read()  # type: ignore[attr-defined]
            raise


class AlertingContext(ssl.SSLContext):
    """A context for an event loop's TLS."""

    sslobject_class = _Handshake

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any
    ) -> ssl.SSLObject:
        """See ``SSLContext``."""
        made = super().wrap_bio(incoming, outgoing, *args, **options)
        made.outgoing = outgoing  # type: ignore[attr-defined]
        return made


def send(error: Exception, spare: socket.socket) -> None:
    """Send the alert, if the handshake left one. It is a few octets: it goes out or is lost."""
    with contextlib.suppress(OSError):
        spare.send(getattr(error, "alert", b""))
        spare.shutdown(socket.SHUT_WR)
