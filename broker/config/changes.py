"""Settings that are changed while the broker runs: from one `Config` to the next.

Owns: `changed`. Which settings may be changed so stands in their rows of the table (`live`), and
their values are read as from a file. A change lasts until the broker ends; what is to last longer
belongs in the file.

Invariant: all changes are made or none.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from broker.config.consistency import contradictions_in
from broker.config.loader import PLAIN, family_of, suggestion
from broker.config.model import Config, ConfigError
from broker.config.rows import Setting


def changed(config: Config, changes: Mapping[str, str | None]) -> Config:
    """Give the settings with these keys changed; None is the default again, whatever the file says.

    Raises ConfigError with a line for each fault.
    """
    faults: list[str] = []
    for key, text in changes.items():
        try:
            config = _with(config, key, text)
        except ValueError as error:
            faults.append(f"{key} {error}")
    if not faults:
        faults.extend(contradictions_in(config))
    if faults:
        raise ConfigError(faults)
    return config


def _with(config: Config, key: str, text: str | None) -> Config:
    words = tuple(key.split("."))
    field: dict[str, Any]
    if row := PLAIN.get(words):
        field = {row.name: _read(row, text, row.default)}
    elif found := family_of(words):
        family, member = found
        value = _read(family, text, None)
        others = {k: v for k, v in getattr(config, family.name, {}).items() if k != member}
        field = {family.name: family.gather(others | ({} if text is None else {member: value}))}
    else:
        raise ValueError(f"is not a setting{suggestion(key)}")
    return replace(config, **field)


def _read(row: Setting, text: str | None, default: Any) -> Any:
    if not row.live:
        raise ValueError("cannot be changed while the broker runs: set it in its file, and restart")
    if text is None:
        return default
    try:
        return row.kind.read(text)
    except ValueError as error:
        raise ValueError(f"must be {error}, not {text!r}") from None
