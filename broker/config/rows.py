"""The shape of a row in the table of settings.

Owns: `Setting` and `Family`, and how the members of a family become one value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from broker.config.kinds import Kind

GROUP_MARK = "="  # between the free word and the part of a member's name: no word has one
Gather = Callable[[Mapping[str, object]], object]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: `default` is the value in `Config`, `meaning` one sentence for the operator.

    `name` is a field of Config; with a dot, a field of one of its sections. `live` marks what may
    be changed while the broker runs, see `changes`.
    """

    key: str
    name: str
    kind: Kind
    default: object
    meaning: str
    later: bool = False
    live: bool = False

    @property
    def examples(self) -> tuple[str, ...]:
        """Lines that, written in a file, change nothing; an unset default shows no value."""
        return (f"{self.key} = {self.kind.show(self.default)}".rstrip(),)


@dataclass(frozen=True, slots=True)
class Family(Setting):
    """A row for a key with a free word. `members` are the defaults, by that word.

    Rows of one `name` are a group: their members, named by word and `part`, become one value.
    """

    gather: Gather = dict
    members: Mapping[str, object] = field(default_factory=dict)
    # Members written by the operator are added to the defaults, instead of replacing them.
    adds: bool = False
    part: str = ""

    def member(self, word: str) -> str:
        """Name the member that the operator's word in place of the free one stands for."""
        return f"{word}{GROUP_MARK}{self.part}" if self.part else word

    @property
    def examples(self) -> tuple[str, ...]:
        """One line for each default member, or the bare key when there is none."""
        head, _, tail = _around_free_word(self.key)
        lines = (f"{head}{n}{tail} = {self.kind.show(v)}" for n, v in self.members.items())
        return tuple(lines) or (f"{self.key} =",)


def _around_free_word(key: str) -> tuple[str, str, str]:
    free = next(word for word in key.split(".") if word.isupper())
    return key.partition(free)


def member_values(members: Mapping[str, object]) -> tuple[object, ...]:
    """Give each value once, in the order written."""
    return tuple(dict.fromkeys(members.values()))


def true_members(members: Mapping[str, object]) -> tuple[str, ...]:
    """Give the words whose value is true."""
    return tuple(name for name, chosen in members.items() if chosen)


def by_word(members: Mapping[str, object]) -> Mapping[str, Mapping[str, object]]:
    """Give what the rows of a group say about each free word, by their parts."""
    found: dict[str, dict[str, object]] = {}
    for name, value in members.items():
        word, _, part = name.partition(GROUP_MARK)
        found.setdefault(word, {})[part] = value
    return MappingProxyType(found)
