"""The kinds of value a setting can have, each with its unit, how to read it and how to show it.

Owns: conversion between the text an operator writes and the value in `Config`. A reader raises
ValueError with words that complete the sentence "heartbeat must be ..."; the loader adds key and
place. Sizes follow RabbitMQ: k, kiB, M, MiB, G, GiB are powers of 1024; kB, MB, GB of 1000.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

import pcre2

from broker.config.model import Listener
from broker.config.schedule import Schedule

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "none")
MAX_SIZE = 1 << 50
MAX_MS = 2**31 - 1
_SIZE = re.compile(r"(\d+) ?([kmgt]?)(i?b?)", re.IGNORECASE)
_BINARY_SHIFT = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: `unit` is what the reference text prints after the default."""

    unit: str
    read: Callable[[str], object]
    show: Callable[[object], str] = str
    secret: bool = False


def _read_flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def _read_integer(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
        raise ValueError(f"a whole number from {low} to {high}")
    return int(text)


def _read_size(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if not found or len(found[1]) > 19 or found[3].lower() == "i":
        raise ValueError("a size such as 65536, 64MiB (powers of 1024) or 64MB (powers of 1000)")
    scale, suffix = found[2].lower(), found[3].lower()
    if suffix == "b":
        return int(found[1]) * _DECIMAL[scale]
    return int(found[1]) << _BINARY_SHIFT[scale]


def _show_size(value: object) -> str:
    """Use the largest unit that divides the value, so that defaults read as people say them."""
    assert isinstance(value, int)
    for suffix, unit in (("GiB", 1 << 30), ("MiB", 1 << 20), ("MB", 10**6)):
        if value and value % unit == 0:
            return f"{value // unit}{suffix}"
    return str(value)


def _read_fraction(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        raise ValueError("a number such as 0.4")
    return float(text)


def _read_listener(text: str) -> Listener:
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("a port or host:port, such as 5672, 127.0.0.1:5672 or [::1]:5672")
    if ":" in bare:
        try:
            ipaddress.IPv6Address(bare)
        except ipaddress.AddressValueError:
            raise ValueError("a port or host:port; the IPv6 address is not valid") from None
    return Listener(bare, int(port))


def _show_listener(value: object) -> str:
    # RabbitMQ has no word for "every interface": it is a port without a host.
    return str(value).removeprefix("*:")


def _read_address(text: str) -> str:
    if not urlsplit(text).hostname:
        raise ValueError("an address such as https://localhost/path")
    return text


def _read_text(text: str) -> str:
    return text


def _read_pattern(text: str) -> str:
    try:
        pcre2.compile(text.encode(), jit=False)
    except pcre2.PatternError as error:
        raise ValueError(f"a regular expression ({error.msg.partition('; ')[2]})") from None
    return text


def _read_log_file(text: str) -> str | None:
    return None if text == "false" else text


def shown_address(address: object) -> str:
    """An address without what may be secret: user, password and query."""
    parts = urlsplit(str(address))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _show_flag(value: object) -> str:
    return "true" if value else "false"


ADDRESS = Kind("address", _read_address, shown_address)
FLAG = Kind("true or false", _read_flag, _show_flag)
FRACTION = Kind("fraction", _read_fraction)
LISTENER = Kind("port or host:port", _read_listener, _show_listener)
LOG_FILE = Kind("file name or false", _read_log_file, lambda value: str(value or "false"))
PATTERN = Kind("regular expression", _read_pattern)
SCHEDULE = Kind("time", Schedule.parse)
SECRET = Kind("text", _read_text, secret=True)
TEXT = Kind("text", _read_text)


def integer(unit: str, low: int, high: int) -> Kind:
    """A whole number of `unit` within limits that are part of the error text."""
    return Kind(unit, lambda text: _read_integer(text, low, high))


def size(low: int, high: int) -> Kind:
    """A number of bytes, with RabbitMQ's suffixes."""

    def read(text: str) -> int:
        value = _read_size(text)
        if not low <= value <= high:
            raise ValueError(f"from {_show_size(low)} to {_show_size(high)}")
        return value

    return Kind("bytes", read, _show_size)


def choice(*names: str) -> Kind:
    """One of a few words."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return text

    return Kind(", ".join(names), read)


def or_none(kind: Kind, *words: str) -> Kind:
    """`kind`, or one of `words` (RabbitMQ's infinity, undefined) which mean "no such limit"."""

    def read(text: str) -> object:
        return None if text in words else kind.read(text)

    def show(value: object) -> str:
        return words[0] if value is None else kind.show(value)

    return Kind(f"{kind.unit}, or {words[0]}", read, show)


def unset_or(kind: Kind) -> Kind:
    """`kind`, where None means that the operator left it unset; no word stands for that."""
    return replace(kind, show=lambda value: "" if value is None else kind.show(value))


LEVEL = choice(*LEVELS)
