"""Topic patterns: the rules, removal, and a bound on the work of a match."""

import pytest

from broker.core.topic import TopicTrie, words_of

MATCHES = [
    # pattern, keys that match, keys that do not
    ("a.b", ["a.b"], ["", "a", "a.b.c", "a.c", "A.b"]),
    ("*", ["a", "é"], ["", "a.b"]),
    ("#", ["", "a", "a.b", "a.b.c", "..", "*", "#"], []),
    ("a.*", ["a.b", "a."], ["a", "a.b.c", "b.b"]),
    ("*.b", ["a.b", ".b"], ["b", "a.b.b"]),
    ("a.#", ["a", "a.b", "a.b.c", "a."], ["", "b", "ab"]),
    ("#.b", ["b", "a.b", "a.a.b", "b.b"], ["", "a", "b.a"]),
    ("a.#.b", ["a.b", "a.x.b", "a.x.y.b", "a.b.b"], ["a", "b", "a.b.c"]),
    ("#.#", ["", "a", "a.b"], []),
    ("#.*", ["a", "a.b"], [""]),
    ("*.#", ["a", "a.b"], [""]),
    ("*.*.#.x", ["a.b.x", "a.b.c.x"], ["a.x", "x"]),
    ("", [""], ["a", "."]),
    ("a..b", ["a..b"], ["a.b", "a.x.b"]),
    ("a.*.b", ["a..b", "a.x.b"], ["a.b"]),
    ("a#", ["a#"], ["a", "ab"]),
    ("*a", ["*a"], ["ba"]),
]


@pytest.mark.parametrize(("pattern", "matching", "others"), MATCHES)
def test_patterns(pattern: str, matching: list[str], others: list[str]) -> None:
    """`*` is one word, `#` any number of them; the empty key has no words, `a..b` an empty one."""
    trie: TopicTrie[str] = TopicTrie()
    trie.add(pattern, "bound")
    for key in matching:
        assert set(trie.match(key)) == {"bound"}, key
    for key in others:
        assert list(trie.match(key)) == [], key


def test_words() -> None:
    """Words are what dots separate; the empty key has none."""
    assert words_of("") == []
    assert words_of("a") == ["a"]
    assert words_of(".a..") == ["", "a", "", ""]


def test_values_of_several_patterns() -> None:
    """A key finds the values of every pattern it matches, and no others."""
    trie: TopicTrie[int] = TopicTrie()
    for number, (pattern, _, _) in enumerate(MATCHES):
        trie.add(pattern, number)
    for number, (_, matching, others) in enumerate(MATCHES):
        assert all(number in set(trie.match(key)) for key in matching)
        assert not any(number in set(trie.match(key)) for key in others)


def test_removal_takes_the_one_value() -> None:
    """Removing a value leaves others under the same pattern, and empty nodes go."""
    trie: TopicTrie[int] = TopicTrie()
    trie.add("a.#.b", 1)
    trie.add("a.#.b", 2)
    trie.add("a", 3)
    trie.remove("a.#.b", 1)
    assert set(trie.match("a.b")) == {2}
    trie.remove("a.#.b", 2)
    assert set(trie.match("a.b")) == set()
    assert set(trie.match("a")) == {3}
    trie.remove("a", 3)
    assert not trie._root.children


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        (".".join(["#"] * 60), ".".join(["a"] * 120)),
        (".".join(["#", "a"] * 30) + ".b", ".".join(["a"] * 120)),
        (".".join(["*"] * 120), ".".join(["*"] * 120)),
        (".".join(["*", "#"] * 60), ".".join(["*", "#"] * 60)),
    ],
)
def test_no_pattern_makes_matching_explode(pattern: str, key: str) -> None:
    """The longest hostile patterns and keys match in work of nodes times words."""
    trie: TopicTrie[int] = TopicTrie()
    trie.add(pattern, 1)
    found = 0
    for found, _ in enumerate(trie.match(key), start=1):
        assert found <= 1000, "the same value again and again"
    assert found <= 1
