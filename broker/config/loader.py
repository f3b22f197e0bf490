"""From sources to one `Config`: precedence, matching of keys, all faults at once, two warnings.

Owns: `load`. The layers are the files, the environment, then --set; each is a list of entries. In
one layer the last value of a key wins, as in RabbitMQ. Members of a family named in a later layer
replace those of an earlier one (so `--set listeners.tcp.default=...` is where the broker listens,
whatever the file says), except families that add to their defaults.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from broker.config import environment, syntax
from broker.config.consistency import contradictions_in
from broker.config.foreign import WITHOUT_MEANING
from broker.config.kinds import Kind
from broker.config.model import Config, ConfigError
from broker.config.rows import Family
from broker.config.sections import SECTIONS
from broker.config.syntax import Entry
from broker.config.table import SETTINGS

ENCRYPTED = "encrypted:"
NOT_DECRYPTED = (
    "plain text: encrypted values are not supported, use $(VARIABLE) and the environment instead"
)
PLAIN = {tuple(row.key.split(".")): row for row in SETTINGS if not isinstance(row, Family)}
_FAMILIES = tuple(row for row in SETTINGS if isinstance(row, Family))


def load(
    path: str | None, overrides: Sequence[str], environ: Mapping[str, str]
) -> tuple[Config, list[str]]:
    """Read a file (or a directory of *.conf), the environment and --set into (config, warnings).

    Raises ConfigError that lists every fault found.
    """
    faults: list[str] = []
    layers = (
        _from_files(path, environ, faults),
        environment.entries(environ, faults),
        [entry for text in overrides if (entry := syntax.parse_override(text, faults))],
    )
    collected = _Collected(faults)
    for layer in layers:
        collected.add_layer(layer)
    values = collected.values()
    if faults:
        raise ConfigError(faults)
    config = Config(**values)
    if contradictions := list(contradictions_in(config)):
        raise ConfigError(contradictions)
    return config, collected.warnings()


class _Collected:
    """What the layers said so far, and what was wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults
        self._plain: dict[str, Any] = {row.name: row.default for row in PLAIN.values()}
        self._members: dict[str, dict[str, object]] = {row.name: {} for row in _FAMILIES}
        for row in _FAMILIES:
            self._members[row.name] |= row.members
        self._without_effect: dict[str, str] = {}
        self._unknown: dict[str, str] = {}

    def add_layer(self, entries: Iterable[Entry]) -> None:
        """Apply one source, which overrides all sources before it."""
        replaced: set[str] = set()
        emptied: set[str] = set()
        for entry in entries:
            if row := PLAIN.get(entry.words):
                self._plain[row.name] = self._read(row.kind, entry, self._plain[row.name])
                if row.later:
                    self._without_effect[entry.key] = entry.place
            elif family := _family_closed_by(entry):
                emptied.add(family.name)
            elif any(entry.words[: len(prefix)] == prefix for prefix in WITHOUT_MEANING):
                self._without_effect[entry.key] = entry.place
            elif found := family_of(entry.words):
                family, member = found
                if not family.adds and family.name not in replaced:
                    self._members[family.name].clear()
                    replaced.add(family.name)
                members = self._members[family.name]
                members[member] = self._read(family.kind, entry, members.get(member))
            else:
                self._unknown[entry.key] = entry.place
        for name in emptied:
            self._members[name].clear()

    def values(self) -> dict[str, Any]:
        """Give one value for each field of Config."""
        gathered = {row.name: row.gather(self._members[row.name]) for row in _FAMILIES}
        values: dict[str, Any] = {name: {} for name in SECTIONS}
        for name, value in (self._plain | gathered).items():
            section, dot, field = name.partition(".")
            if dot:
                values[section][field] = value
            else:
                values[name] = value
        for name, section_type in SECTIONS.items():
            values[name] = section_type(**values[name])
        return values

    def warnings(self) -> list[str]:
        """Give at most one line for keys without effect and one for unknown keys."""
        lines = []
        if self._without_effect:
            named = ", ".join(f"{k} ({place})" for k, place in self._without_effect.items())
            lines.append(f"settings that have no effect in Leveret were ignored: {named}")
        if self._unknown:
            named = ", ".join(f"{k} ({p}{suggestion(k)})" for k, p in self._unknown.items())
            lines.append(f"unknown settings were ignored: {named}")
        return lines

    def _read(self, kind: Kind, entry: Entry, fallback: object) -> object:
        try:
            if entry.text.startswith(ENCRYPTED):
                raise ValueError(NOT_DECRYPTED)
            return kind.read(entry.text)
        except ValueError as error:
            hidden = kind.secret or entry.text.startswith(ENCRYPTED)
            shown = "" if hidden else f", not {entry.text!r}"
            place = "" if entry.place.startswith("--set") else f"{entry.place}: "
            source = "--set " if not place else ""
            self._faults.append(f"{place}{source}{entry.key} must be {error}{shown}")
            return fallback


def _from_files(path: str | None, environ: Mapping[str, str], faults: list[str]) -> list[Entry]:
    entries = []
    for file, named_by in environment.files(path, environ):
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            faults.append(f"{file}: cannot be read ({error.strerror}); check {named_by}")
        except UnicodeDecodeError:
            faults.append(f"{file}: is not UTF-8 text; save it as UTF-8")
        else:
            entries += syntax.parse(text, str(file), environ, faults)
    return entries


def _family_closed_by(entry: Entry) -> Family | None:
    """Find the family that a line such as `listeners.tcp = none` leaves without members."""
    if entry.text != "none":
        return None
    return next((f for f in _FAMILIES if tuple(f.key.split(".")[:-1]) == entry.words), None)


def family_of(words: Sequence[str]) -> tuple[Family, str] | None:
    """Find the family that a key belongs to, and which of its members it is."""
    for family in _FAMILIES:
        pattern = family.key.split(".")
        if len(pattern) == len(words):
            pairs = list(zip(pattern, words, strict=True))
            if all(want == have or want.isupper() for want, have in pairs):
                return family, family.member(next(h for want, h in pairs if want.isupper()))
    return None


def suggestion(key: str) -> str:
    """Say which key may have been meant, if one is similar."""
    candidates = [row.key for row in SETTINGS]
    close = difflib.get_close_matches(key, candidates, n=1)
    return f"; did you mean {close[0]}?" if close else ""
