"""The PROXY protocol, versions 1 and 2: who a client is, told by the balancer in front of us.

Octets in, addresses out. A header stands before everything else on a connection, and what follows
belongs to AMQP or TLS; so a reader asks ``missing`` how many octets may be read without going
beyond the header, until it says 0, and then calls ``parse``.

Invariant: what is not exactly a header raises ``ProxyError``, and no header is longer than
``HEADER_MAX_BYTES``.
"""

from __future__ import annotations

import ipaddress
from struct import Struct

Address = tuple[str, int]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1_MAX_BYTES = 107
HEADER_MAX_BYTES = 4096  # of version 2, whose extensions could take 65,535
_V1_BEGIN = b"PROXY "
_V1_FAMILIES = {b"TCP4": ipaddress.IPv4Address, b"TCP6": ipaddress.IPv6Address}
_V2_HEAD = Struct(">12sBBH")
_V2_FAMILIES = {0x11: Struct(">4s4sHH"), 0x21: Struct(">16s16sHH")}  # TCP over IPv4, over IPv6
_V2_WITHOUT_ADDRESS = {0x00, 0x12, 0x22, 0x31, 0x32}  # unspecified, UDP, Unix sockets
_LOCAL, _PROXY = 0x20, 0x21


class ProxyError(Exception):
    """What came is not a PROXY header."""


def missing(read: bytes) -> int:
    """Tell how many octets the header still has at least; 0 when it is complete."""
    if len(read) < len(SIGNATURE):
        if not (SIGNATURE.startswith(read) or read[:6] == _V1_BEGIN[: len(read)]):
            raise ProxyError("there is no PROXY header")
        return len(SIGNATURE) - len(read)
    if read.startswith(_V1_BEGIN):
        if read.endswith(b"\r\n"):
            return 0
        if len(read) >= V1_MAX_BYTES:
            raise ProxyError(f"the PROXY line is longer than {V1_MAX_BYTES} octets")
        return 1 if read.endswith(b"\r") else min(2, V1_MAX_BYTES - len(read))
    if not read.startswith(SIGNATURE):
        raise ProxyError("there is no PROXY header")
    if len(read) < _V2_HEAD.size:
        return _V2_HEAD.size - len(read)
    whole = _V2_HEAD.size + int(_V2_HEAD.unpack_from(read)[3])
    if whole > HEADER_MAX_BYTES:
        raise ProxyError(f"the PROXY header is longer than {HEADER_MAX_BYTES} octets")
    return whole - len(read)


def parse(header: bytes) -> tuple[Address, Address] | None:
    """Give the client's address and the one it connected to; None if the header has none.

    A balancer sends a header without addresses for its own checks of our health, and for
    families that have no address and port.
    """
    if header.startswith(_V1_BEGIN):
        return _parse_v1(header)
    _, command, family, length = _V2_HEAD.unpack_from(header)
    if command not in (_LOCAL, _PROXY):
        raise ProxyError(f"the PROXY header has version and command {command:#04x}")
    if family not in _V2_FAMILIES and family not in _V2_WITHOUT_ADDRESS:
        raise ProxyError(f"the PROXY header has address family {family:#04x}")
    if command == _LOCAL or family in _V2_WITHOUT_ADDRESS:
        return None
    layout = _V2_FAMILIES[family]
    if length < layout.size:
        raise ProxyError("the PROXY header is too short for its addresses")
    source, destination, source_port, port = layout.unpack_from(header, _V2_HEAD.size)
    return (
        (str(ipaddress.ip_address(source)), source_port),
        (str(ipaddress.ip_address(destination)), port),
    )


def _parse_v1(header: bytes) -> tuple[Address, Address] | None:
    words = header[len(_V1_BEGIN) : -2].split(b" ")
    if words[0] == b"UNKNOWN":
        return None
    family = _V1_FAMILIES.get(words[0])
    if family is None or len(words) != 5:
        raise ProxyError("the PROXY line is malformed")
    try:
        source, destination = (str(family(word.decode("ascii"))) for word in words[1:3])
    except ValueError:
        raise ProxyError("the PROXY line has a malformed address") from None
    if not all(word.isdigit() and len(word) <= 5 and int(word) <= 65535 for word in words[3:]):
        raise ProxyError("the PROXY line has a malformed port")
    return (source, int(words[3])), (destination, int(words[4]))
