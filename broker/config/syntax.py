r"""The rabbitmq.conf syntax: text to `Entry`, without knowing any setting.

Owns: the grammar, as RabbitMQ's own parser behaves (its reading of these cases was observed):
* one `key = value` per line; `#` starts a comment anywhere outside quotes, even without a space;
* a key is words of letters, digits, `_` and `-` joined by dots; `\.` is a dot inside a word;
* a value in single quotes is literal (3.13), with `\'` for a quote; double quotes are plain text;
* a value between `'''` and `'''` is literal too, and may have several lines (4.x);
* `$(NAME)` outside quotes is the environment variable NAME, and unset is an error.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_WORD = r"(?:[A-Za-z0-9_-]|\\\.)+"
_SETTING = re.compile(
    rf"(?P<key>{_WORD}(?:\.{_WORD})*)\s*=\s*(?:'(?P<quoted>(?:\\'|[^'])*)'|(?P<plain>[^#]*?))"
    r"\s*(?:#.*)?"
)
_BEGINNING = re.compile(rf"(?P<key>{_WORD}(?:\.{_WORD})*)\s*=\s*'''(?P<text>.*)", re.DOTALL)
_END = re.compile(r"'''\s*(?:#.*)?")
_VARIABLE = re.compile(r"\$\(([^)]*)\)")
_DOT = re.compile(r"(?<!\\)\.")


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting as written: words of the key, text of the value, and where it was written."""

    words: tuple[str, ...]
    text: str
    place: str

    @property
    def key(self) -> str:
        """The key as an operator writes it."""
        return ".".join(word.replace(".", "\\.") for word in self.words)


def split_key(key: str) -> tuple[str, ...]:
    """Split a key at its dots, except those written as a backslash and a dot."""
    return tuple(word.replace("\\.", ".") for word in _DOT.split(key))


def parse(text: str, name: str, environ: Mapping[str, str], faults: list[str]) -> list[Entry]:
    """Read a whole file; what cannot be read becomes a line in `faults`."""
    entries = []
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        line = line.strip()
        place = f"{name}:{number}"
        if not line or line.startswith("#"):
            continue
        if beginning := _BEGINNING.fullmatch(line):
            literal = _until_end(beginning["text"], lines)
            if literal is None:
                faults.append(f"{place}: end the value of {beginning['key']} with '''")
            else:
                entries.append(Entry(split_key(beginning["key"]), literal, place))
            continue
        found = _SETTING.fullmatch(line)
        if not found:
            faults.append(f"{place}: write this line as `key = value`, or start it with #")
            continue
        value = found["quoted"]
        if value is not None:
            value = value.replace("\\'", "'")
        else:
            if not found["plain"]:
                faults.append(f"{place}: give {found['key']} a value, or remove the line")
                continue
            value = _interpolate(found["plain"], place, environ, faults)
        entries.append(Entry(split_key(found["key"]), value, place))
    return entries


def _until_end(text: str, lines: Iterator[tuple[int, str]]) -> str | None:
    """Take lines up to the one that ends with three quotes; None if there is none."""
    while not (end := _END.search(text)):
        _, line = next(lines, (0, None))
        if line is None:
            return None
        text += f"\n{line}"
    return text[: end.start()].strip() if end.end() == len(text) else None


def parse_override(text: str, faults: list[str]) -> Entry | None:
    """Read one --set argument: no comments and no variables, the shell has had its turn."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not re.fullmatch(rf"{_WORD}(?:\.{_WORD})*", key):
        faults.append(f"--set {key}: write it as --set key=value")
        return None
    return Entry(split_key(key), value.strip(), f"--set {key}")


def _interpolate(text: str, place: str, environ: Mapping[str, str], faults: list[str]) -> str:
    def value_of(found: re.Match[str]) -> str:
        if found[1] not in environ:
            faults.append(f"{place}: set the environment variable {found[1]}, or do not name it")
        return environ.get(found[1], "")

    return _VARIABLE.sub(value_of, text)
