"""Topic patterns as a trie of words: ``*`` is one word, ``#`` any number of them.

A key of n words visits at most the nodes whose path matches, so a thousand bindings that do
not match cost nothing. ``#`` is the one branch that can rejoin itself; each (node, position)
is visited once, which bounds the walk by nodes x words whatever the patterns are.

The empty key has no words; ``a..b`` has an empty one, which ``*`` matches (as RabbitMQ).
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

Value = TypeVar("Value")
_WILDCARDS = ("*", "#")


class _Node(Generic[Value]):
    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Value]] = {}
        self.values: dict[Value, None] = {}


def words_of(key: str) -> list[str]:
    """The words of a routing key or pattern."""
    return key.split(".") if key else []


class TopicTrie(Generic[Value]):
    """A multimap from patterns to values."""

    def __init__(self) -> None:
        self._root: _Node[Value] = _Node()

    def add(self, pattern: str, value: Value) -> None:
        """Make ``value`` match ``pattern``."""
        node = self._root
        for word in words_of(pattern):
            node = node.children.setdefault(word, _Node())
        node.values[value] = None

    def remove(self, pattern: str, value: Value) -> None:
        """Undo ``add``; nodes that hold nothing any more go."""
        path, node = [], self._root
        for word in words_of(pattern):
            path.append((node, word))
            node = node.children[word]
        del node.values[value]
        for parent, word in reversed(path):
            child = parent.children[word]
            if child.values or child.children:
                break
            del parent.children[word]

    def match(self, key: str) -> Iterator[Value]:
        """The values whose pattern matches ``key``; a value may come more than once."""
        words = words_of(key)
        count = len(words)
        seen: set[tuple[int, int]] = set()
        todo = [(self._root, 0)]
        while todo:
            node, position = todo.pop()
            if position == count and node.values:
                yield from node.values
            children = node.children
            if not children:
                continue
            if position < count:
                # In a key "*" and "#" are words like others, which only wildcards match.
                word = words[position]
                for edge in ("*",) if word in _WILDCARDS else (word, "*"):
                    child = children.get(edge)
                    if child is not None:
                        todo.append((child, position + 1))
            rest = children.get("#")
            if rest is not None:
                for skipped in range(position, count + 1):
                    if (id(rest), skipped) not in seen:
                        seen.add((id(rest), skipped))
                        todo.append((rest, skipped))
