"""Tell the service manager how far the broker is (systemd's Type=notify protocol).

Owns: the datagram to NOTIFY_SOCKET. Outside systemd, where that variable is unset, every call does
nothing. A lost notification never harms the broker: it is reported by the return value only.
"""

import os
import socket
from collections.abc import Mapping


def ready(status: str = "", environ: Mapping[str, str] = os.environ) -> bool:
    """Say that clients can connect, which lets units ordered after this one start."""
    return _send(f"READY=1\nSTATUS={_one_line(status)}", environ)


def stopping(status: str = "", environ: Mapping[str, str] = os.environ) -> bool:
    """Say that shutdown has begun, so that a long drain is not taken for a hang."""
    return _send(f"STOPPING=1\nSTATUS={_one_line(status)}", environ)


def _one_line(status: str) -> str:
    # A line feed would begin another assignment.
    return status.replace("\n", " ")


def _send(state: str, environ: Mapping[str, str]) -> bool:
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket: no file, the name begins with NUL
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(state.encode(), address)
    except OSError:
        return False
    return True
