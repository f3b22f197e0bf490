"""Matching a message's headers against a headers binding (RabbitMQ's four x-match modes).

``all`` and ``any`` ignore binding arguments that begin with ``x-``; the ``-with-x`` modes
ignore none but ``x-match`` itself. An argument without a value (void) asks only that the
header is there. Values compare without their wire type: 1 equals 1.0, a long string equals
binary data of the same octets; a bool never equals a number. An empty ``all`` matches every
message, an empty ``any`` none.
"""

from protocol.errors import PreconditionFailed
from protocol.methods import erlang_binary
from protocol.tables import Field, Table

_MODES = {b"all": (True, False), b"any": (False, False)}
_MODES |= {b"all-with-x": (True, True), b"any-with-x": (False, True)}


def check_match_argument(arguments: Table) -> None:
    """Raise ``PreconditionFailed`` for an x-match RabbitMQ does not know."""
    mode = arguments.get("x-match")
    if mode is None:
        return
    if mode.tag != "S":
        raise PreconditionFailed(
            f"Invalid x-match field type {mode.type_name} (value {mode.value}); expected longstr"
        )
    if mode.value not in _MODES:
        raise PreconditionFailed(
            f"Invalid x-match field value {erlang_binary(mode.value)}; "
            "expected all, any, all-with-x, or any-with-x"
        )


def _equal(left: Field, right: Field) -> bool:
    if (left.tag == "t") != (right.tag == "t"):
        return False
    return bool(left.value == right.value)


class HeadersMatch:
    """One binding's rule."""

    def __init__(self, arguments: Table) -> None:
        mode = arguments.get("x-match")
        self._all, with_x = _MODES[mode.value if mode is not None else b"all"]
        self._wanted = [
            (name, value)
            for name, value in arguments.items()
            if name != "x-match" and (with_x or not name.startswith("x-"))
        ]

    def matches(self, headers: Table) -> bool:
        """Whether a message with these headers takes the binding."""
        found = (
            name in headers and (value.tag == "V" or _equal(value, headers[name]))
            for name, value in self._wanted
        )
        return all(found) if self._all else any(found)
