"""Regular expressions of operators: in permissions and in policies.

PCRE, which is what RabbitMQ has: with lookaheads, POSIX classes and possessive quantifiers, on
octets. Whoever may set a permission or a policy must not be able to hang the broker with it: a
pattern is refused if it compiles to more than PCRE's 64 KiB, and a match that takes more than
``STEPS_MAX`` steps (a millisecond) is none. RabbitMQ has both bounds, the second a hundred times as
high.

What was looked up is remembered in the pattern itself, so that it is void when the pattern is.
"""

from __future__ import annotations

import logging

import pcre2

STEPS_MAX = 100_000
KNOWN_MAX = 1024  # names a pattern remembers

_LIMIT = b"(*LIMIT_MATCH=%d)" % STEPS_MAX
_log = logging.getLogger("leveret.pattern")

# PCRE2's faults that RabbitMQ, which has PCRE, calls otherwise, and how much further they are.
_PCRE_FAULTS = {
    109: ("nothing to repeat", 1),
    114: ("missing )", 0),
    122: ("unmatched parentheses", 1),
}


class InvalidPattern(ValueError):
    """A pattern that is no regular expression: what is wrong, and at which octet."""

    def __init__(self, pattern: str, fault: str, at: int) -> None:
        super().__init__(f"{pattern!r} is not a regular expression: {fault} at {at}")
        self.pattern, self.fault, self.at = pattern, fault, at


class Pattern:
    """A compiled pattern; ``InvalidPattern`` if it is none."""

    __slots__ = ("_known", "_regex", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._known: dict[str, bool] = {}
        try:
            # It is used on short names and not often: just-in-time compilation costs more.
            self._regex = pcre2.compile(_LIMIT + _octets(text), jit=False)
        except pcre2.PatternError as error:
            position = max(error.pos - len(_LIMIT), 0)
            words = error.msg.partition("; ")[2]
            fault, further = _PCRE_FAULTS.get(error.code, (words, 0))
            raise InvalidPattern(text, fault, position - further) from None

    def matches(self, name: str) -> bool:
        """Whether the pattern is found in the name."""
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[name] = self._search(name)
        return known

    def _search(self, name: str) -> bool:
        try:
            return self._regex.search(_octets(name)) is not None
        except pcre2.LibraryError as error:
            _log.warning("pattern %r does not match %r: %s", self.text, name, error)
            return False


def _octets(text: str) -> bytes:
    """A name as it came over the wire."""
    return text.encode("utf-8", "surrogateescape")
