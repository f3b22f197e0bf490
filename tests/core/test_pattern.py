"""Patterns of operators: PCRE, and no way to keep the broker busy with one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.core.pattern import KNOWN_MAX, OVERRUNS_MAX, InvalidPattern, Pattern


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("^a", "ab", "ba"),
        ("b", "abc", "ac"),  # found anywhere
        ("^(?!x).", "yx", "xy"),
        ("^[[:alpha:]]+$", "abc", "ab1"),
        (r"^\Qa.b\E$", "a.b", "axb"),
        ("^a++b", "aab", "aac"),
        ("^..$", "é", "ab c"),  # octets, as RabbitMQ counts
        ("^a{client_id}$", "a{client_id}", "aclient_id"),
        ("(?i)^A", "ab", "b"),
    ],
)
def test_patterns_are_pcre(text: str, yes: str, no: str) -> None:
    """What RabbitMQ's operators may write means here what it means there."""
    pattern = Pattern(text)
    assert pattern.matches(yes)
    assert not pattern.matches(no)
    assert pattern.matches(yes), "also when asked again"


@pytest.mark.parametrize(
    ("text", "fault", "at"),
    [
        ("(", "missing )", 1),
        ("a(b", "missing )", 3),
        ("*", "nothing to repeat", 0),
        ("a)", "unmatched parentheses", 1),
        ("[a", "missing terminating ] for character class", 2),
        ("\\", "\\ at end of pattern", 1),
        ("a{3,1}", "numbers out of order in {} quantifier", 5),
    ],
)
def test_faults_are_told_as_rabbitmq_tells_them(text: str, fault: str, at: int) -> None:
    """The words of Erlang's re, and where."""
    with pytest.raises(InvalidPattern) as caught:
        Pattern(text)
    assert (caught.value.fault, caught.value.at) == (fault, at)


@pytest.mark.parametrize("text", ["((a{1000}){1000}){1000}", "(" * 5000 + ")" * 5000, "x" * 70_000])
def test_giant_patterns_are_refused(text: str) -> None:
    """A short text that means a giant automaton costs no memory."""
    with pytest.raises(InvalidPattern):
        Pattern(text)


@pytest.mark.parametrize(
    "text",
    [
        "^(a|aa|a?)+$",
        "^(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)[0-9]$",
        "^((a*)*)*$",
        "^(a+)+$",
        "^(?:(?=(a+))(a|aa))*$",
        "(*LIMIT_MATCH=4000000000)^(a+)+$",
    ],
)
def test_a_match_that_does_not_end_is_none(text: str) -> None:
    """After a bounded number of steps the name counts as one that does not match."""
    assert not Pattern(text).matches("a" * 250 + "!")


@pytest.mark.parametrize(
    "text",
    ["(*LIMIT_MATCH=9000000)^(a+)+$", "(*UTF)(*LIMIT_DEPTH=9)(*LIMIT_MATCH=9000000)^(a+)+$"],
)
def test_a_pattern_cannot_lift_its_bound(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Limits that a pattern begins with are left out, and its other options stay."""
    assert Pattern(text)._regex.pattern.endswith(b"^(a+)+$")
    assert b"9000000" not in Pattern(text)._regex.pattern
    assert Pattern("(*UTF)(*LIMIT_MATCH=1)^.$").matches("é")


def test_a_slow_pattern_gets_less_time(caplog: pytest.LogCaptureFixture) -> None:
    """What it is quick with still matches, the rest is cheap, and the log is short."""
    pattern = Pattern("^(a+)+$")
    for number in range(2_000):
        assert not pattern.matches("a" * 200 + str(number))
    assert pattern.matches("aaaa")
    assert not pattern.matches("b")
    assert len(caplog.records) == OVERRUNS_MAX + 1
    assert caplog.messages[-1].endswith("is too slow: change it, so that it is matched")


def test_the_memory_of_a_pattern_is_bounded() -> None:
    """Names are forgotten when there are many, and found again."""
    pattern = Pattern("7$")
    for number in range(KNOWN_MAX + 5):
        assert pattern.matches(str(number)) == (number % 10 == 7)
    assert len(pattern._known) <= KNOWN_MAX


@given(
    st.lists(st.sampled_from(["^", "$", ".", "\\.", ".*", "a", "b-", "q", "\\", "*"]), max_size=5),
    st.text(st.sampled_from("ab.-q\né$^\udcff"), max_size=6),
)
@example(["^", "a", ".*"], "a\nb")
def test_plain_patterns_mean_what_pcre_says(parts: list[str], name: str) -> None:
    """Patterns that are looked for without PCRE are found in the same names as with it."""
    try:
        pattern = Pattern("".join(parts))
    except InvalidPattern:
        return
    assert pattern.matches(name) == pattern.found_in(name.encode("utf-8", "surrogateescape"))
