"""Reading definitions: each value is asked for by name and kind, and a fault says where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from protocol.constants import SHORTSTR_MAX


class DefinitionError(ValueError):
    """Definitions that cannot be imported; the text says what is wrong and where."""


class Entry:
    """One object of a section. What was not asked for is ``unknown``."""

    def __init__(self, place: str, values: Any) -> None:
        self.place = place
        if not isinstance(values, dict):
            raise self.fault("is no object")
        self.values: dict[str, Any] = values
        self._known: set[str] = set()
        self._rest: dict[str, Any] = {}
        name = values.get("name", values.get("user"))
        if isinstance(name, str):
            self.place = f"{place} ({name!r})"

    def fault(self, what: str) -> DefinitionError:
        """The error to raise: ``what`` goes on after the place."""
        return DefinitionError(f"{self.place} {what}")

    def get(self, key: str, default: Any = None) -> Any:
        """A value of any kind."""
        self._known.add(key)
        return self.values.get(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; one without a default has to be there."""
        value = self.get(key, default)
        if value is None:
            raise self.fault(f"has no {key!r}")
        if not isinstance(value, str):
            raise self.fault(f"has a {key!r} that is no text")
        return value

    def name(self, key: str = "name", default: str | None = None) -> str:
        """A name, as it can be sent over AMQP."""
        value = self.text(key, default)
        if len(value.encode("utf-8", "surrogatepass")) > SHORTSTR_MAX:
            raise self.fault(f"has a {key!r} of more than {SHORTSTR_MAX} octets")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false; RabbitMQ takes them in quotes too."""
        value = self.get(key, default)
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value, value)
        if not isinstance(value, bool):
            raise self.fault(f"has a {key!r} that is neither true nor false")
        return value

    def object(self, key: str) -> dict[str, Any]:
        """An object; RabbitMQ sometimes writes an empty one as an empty list."""
        value = self.get(key) or {}
        if not isinstance(value, dict):
            raise self.fault(f"has {key!r} that are no object")
        return value

    def words(self, key: str) -> list[str]:
        """A list of words, or a text with commas between them."""
        value = self.get(key, [])
        if isinstance(value, str):
            value = value.split(",")
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.fault(f"has {key!r} that are no words")
        return [word.strip() for word in value if word.strip()]

    def ignore(self, *keys: str) -> None:
        """Keys that say nothing we do not know otherwise."""
        self._known.update(keys)

    def ignore_but(self, key: str, rest: dict[str, Any]) -> None:
        """Of the object under this key only the rest says nothing to us."""
        self._known.add(key)
        if rest:
            self._rest[key] = rest

    @property
    def unknown(self) -> dict[str, Any]:
        """What nobody asked for."""
        rest = {key: value for key, value in self.values.items() if key not in self._known}
        return rest | self._rest


def entries(document: Mapping[str, Any], section: str) -> Iterator[Entry]:
    """The objects of one section."""
    found = document.get(section, [])
    if not isinstance(found, list):
        raise DefinitionError(f"{section} is no list")
    for number, values in enumerate(found):
        yield Entry(f"{section}[{number}]", values)
