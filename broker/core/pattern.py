"""Regular expressions of operators: in permissions and in policies.

PCRE, which is what RabbitMQ has: with lookaheads, POSIX classes and possessive quantifiers, on
octets. Whoever may set a permission or a policy must not be able to hang the broker with it: a
pattern is refused if it compiles to more than PCRE's 64 KiB, and a match that takes more than
``STEPS_MAX`` steps (a millisecond) is none. RabbitMQ has both bounds, the second a hundred times as
high. Since a policy is held against every queue, a pattern that ran out of steps ``OVERRUNS_MAX``
times has ``STEPS_FEW`` (ten microseconds) from then on: enough for the names it is quick with.

What was looked up is remembered in the pattern itself, so that it is void when the pattern is. Most
patterns are a beginning or a part of names: these are not looked up at all.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pcre2

STEPS_MAX = 100_000
STEPS_FEW = 1_000
OVERRUNS_MAX = 10
KNOWN_MAX = 1024  # names a pattern remembers

_LIMIT = b"(*LIMIT_MATCH=%d)"
_OPTIONS = re.compile(rb"(?:\(\*[A-Z0-9_=]+\))+")  # at the beginning of a pattern
_OWN_LIMIT = re.compile(rb"\(\*LIMIT_[A-Z]+=[0-9]+\)")
_LITERAL = re.compile(r"(\^?)((?:[A-Za-z0-9_/:@-]|\\\.)*)(?:\.\*)?")
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

    __slots__ = ("_known", "_literal", "_overruns", "_regex", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._known: dict[str, bool] = {}
        self._literal = _literal(text)
        self._overruns = 0
        try:
            self._regex = _compiled(text, STEPS_MAX)
        except pcre2.PatternError as error:
            position = max(error.pos - len(_LIMIT % STEPS_MAX), 0)
            words = error.msg.partition("; ")[2]
            fault, further = _PCRE_FAULTS.get(error.code, (words, 0))
            raise InvalidPattern(text, fault, position - further) from None

    def matches(self, name: str) -> bool:
        """Whether the pattern is found in the name."""
        if self._literal is not None:
            return self._literal(name)
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[name] = self.found_in(_octets(name))
        return known

    def found_in(self, octets: bytes) -> bool:
        """The same for octets of any length, which are not remembered."""
        try:
            return self._regex.search(octets) is not None
        except pcre2.LibraryError as error:
            self._overran(octets[:256], str(error))
            return False

    def _overran(self, octets: bytes, why: str) -> None:
        self._overruns += 1
        if self._overruns > OVERRUNS_MAX:
            return
        name = octets.decode("utf-8", "backslashreplace")
        _log.warning("pattern %r does not match %r: %s", self.text, name, why)
        if self._overruns == OVERRUNS_MAX:
            _log.warning("pattern %r is too slow: change it, so that it is matched", self.text)
            self._regex = _compiled(self.text, STEPS_FEW)


def _literal(text: str) -> Callable[[str], bool] | None:
    """How to look for a pattern that means what it says, perhaps from the beginning on."""
    found = _LITERAL.fullmatch(text)
    if found is None:
        return None
    literal = found[2].replace("\\.", ".")
    return (lambda name: name.startswith(literal)) if found[1] else (lambda name: literal in name)


def _compiled(text: str, steps: int) -> pcre2.Pattern:
    octets = _octets(text)
    if options := _OPTIONS.match(octets):
        # With limits of its own, the pattern could undo ours.
        octets = _OWN_LIMIT.sub(b"", options[0]) + octets[options.end() :]
    # It is used on short names and not often: just-in-time compilation costs more.
    return pcre2.compile(_LIMIT % steps + octets, jit=False)


def _octets(text: str) -> bytes:
    """A name as it came over the wire."""
    return text.encode("utf-8", "surrogateescape")
