"""Topic patterns as a trie of words: ``*`` is one word, ``#`` any number of them.

A key of n words visits at most the nodes whose path matches, so a thousand bindings that do
not match cost nothing. All paths are followed at the same time, word by word, and those that meet
go on as one, which bounds the walk by nodes x words whatever the patterns are.

The empty key has no words; ``a..b`` has an empty one, which ``*`` matches (as RabbitMQ).
"""

from collections.abc import Iterable
from typing import Generic, TypeVar

Value = TypeVar("Value")
_WILDCARDS = ("*", "#")


class _Node(Generic[Value]):
    __slots__ = ("children", "is_rest", "values")

    def __init__(self, word: str = "") -> None:
        self.is_rest = word == "#"  # whatever words come, this node is not left by them
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
            node = node.children.setdefault(word, _Node(word))
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

    def match(self, key: str) -> Iterable[Value]:
        """The values whose pattern matches ``key``; a value may come more than once."""
        found: dict[_Node[Value], None] = {}
        nodes = _entered([self._root], found)
        for word in words_of(key):
            if not nodes:
                break
            # In a key "*" and "#" are words like others, which only wildcards match.
            exact = word not in _WILDCARDS
            ahead: list[_Node[Value]] = []
            for node in nodes:
                children = node.children
                if exact and word in children:
                    ahead.append(children[word])
                if "*" in children:
                    ahead.append(children["*"])
                if node.is_rest:
                    ahead.append(node)
            nodes = _entered(ahead, found)
        return [value for node in (*found, *nodes) for value in node.values]


def _entered(nodes: list[_Node[Value]], found: dict[_Node[Value], None]) -> list[_Node[Value]]:
    """The nodes, each once, with those behind them by a ``#`` that stands for no word.

    A ``#`` at the end of a pattern matches whatever comes: it goes to ``found``.
    """
    if len(nodes) == 1 and "#" not in nodes[0].children and not nodes[0].is_rest:
        return nodes  # most often, and nothing to be done
    entered: dict[_Node[Value], None] = {}
    while nodes:
        node = nodes.pop()
        if node.is_rest and not node.children:
            found[node] = None
        elif node not in entered:
            entered[node] = None
            if "#" in node.children:
                nodes.append(node.children["#"])
    return list(entered)
