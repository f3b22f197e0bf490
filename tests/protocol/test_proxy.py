"""The PROXY protocol: what a header says, and that nothing behind it is read."""

import contextlib
import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import proxy

V4 = struct.pack(">4s4sHH", bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]), 5000, 5672)
ADDRESSES = (("192.0.2.1", 5000), ("192.0.2.2", 5672))


def v2(command: int, family: int, content: bytes) -> bytes:
    """A header of version 2."""
    return proxy.SIGNATURE + struct.pack(">BBH", command, family, len(content)) + content


GOOD = {
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 5672\r\n": ADDRESSES,
    b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n": (("2001:db8::1", 1), ("::1", 65535)),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n": None,
    v2(0x21, 0x11, V4): ADDRESSES,
    v2(0x21, 0x11, V4 + b"\x04\x00\x01x"): ADDRESSES,
    v2(0x21, 0x21, bytes(15) + b"\x01" + bytes(15) + b"\x02\x00\x07\x00\x08"): (
        ("::1", 7),
        ("::2", 8),
    ),
    v2(0x20, 0x00, b""): None,
    v2(0x20, 0x11, V4): None,
    v2(0x21, 0x31, bytes(216)): None,
}
BAD = [
    b"AMQP\x00\x00\x09\x01",
    b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 -1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1\n 1 1\r\n",
    b"PROXY TCP4 ::1 ::1 1 1\r\n",
    b"PROXY TCP4 \xff 1.1.1.1 1 1\r\n",
    b"PROXY \r\n" + b"PROXY UNKNOWN\r\n",
    b"PROXY " + b"A" * 200,
    v2(0x31, 0x11, V4),
    v2(0x22, 0x11, V4),
    v2(0x21, 0x77, V4),
    v2(0x21, 0x11, V4[:-1]),
    v2(0x21, 0x11, bytes(5000)),
]


def read(octets: bytes) -> tuple[bytes, object]:
    """Read a header as a listener does; give it, and what it says."""
    header = b""
    while count := proxy.missing(header):
        assert len(header) + count <= len(octets), "asked for octets that are not the header's"
        header += octets[len(header) : len(header) + count]
    return header, proxy.parse(header)


@pytest.mark.parametrize("header", list(GOOD))
@pytest.mark.parametrize("behind", [b"", b"AMQP\x00\x00\x09\x01", b"\r\n"])
def test_headers(header: bytes, behind: bytes) -> None:
    """Each form gives its addresses, and leaves what follows to be read by others."""
    assert read(header + behind) == (header, GOOD[header])


@pytest.mark.parametrize("octets", BAD)
def test_malformed(octets: bytes) -> None:
    """Whatever is not a header is refused, before more than a header's length is read."""
    with pytest.raises(proxy.ProxyError):
        read(octets + bytes(10_000))


@given(st.binary(max_size=60), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", proxy.SIGNATURE]))
def test_any_octets(octets: bytes, begin: bytes) -> None:
    """Any octets are a header, not one yet, or refused in one way."""
    with contextlib.suppress(proxy.ProxyError):
        read(begin + octets + b"\r\n" + bytes(proxy.HEADER_MAX_BYTES))


@given(st.ip_addresses(), st.ip_addresses(v=4), st.integers(0, 65535))
def test_addresses_as_written(source: ipaddress._BaseAddress, here: object, port: int) -> None:
    """Version 1 tells addresses and ports as they were given."""
    kind = f"TCP{source.version}"
    here = here if source.version == 4 else "::9"
    header = f"PROXY {kind} {source} {here} {port} 5672\r\n".encode()
    assert read(header) == (header, ((str(source), port), (str(here), 5672)))
