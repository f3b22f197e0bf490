"""Definitions that the configuration wants loaded at every start.

``load_definitions``, or ``definitions.local.path``, is a file or a directory of ``*.json`` files,
taken in the order of their names. A broker that has some gets no default user.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from broker.config import Config, ConfigError
from broker.core.broker import Broker
from broker.core.runtime_parameters import set_global_parameter
from broker.definitions.importing import RandomBytes, at_once, import_all
from broker.definitions.reading import DefinitionError

UNCHANGED = "imported_definition_hash_value"  # RabbitMQ's name for what was loaded last

_log = logging.getLogger("leveret.definitions")


def load(broker: Broker, config: Config, random: RandomBytes) -> None:
    """Load what the configuration names; ``ConfigError`` if that cannot be done."""
    sources = [(path, _octets(path)) for place in _places(config) for path in _files(Path(place))]
    if not sources:
        return
    digest = hashlib.sha256(b"".join(octets for _, octets in sources)).hexdigest()
    careful = config.definitions_skip_if_unchanged
    if careful and broker.global_parameters.get(UNCHANGED) == digest:
        _log.info("definitions are not loaded: they are the same as the last time")
        return
    for path, octets in sources:
        try:
            at_once(import_all(broker, json.loads(octets), random))
        except (DefinitionError, ValueError, RecursionError) as error:
            raise ConfigError([f"load_definitions: {path}: {error}"]) from None
        _log.info("loaded definitions from %s", path)
    if careful:
        set_global_parameter(broker, UNCHANGED, digest)


def has_any(config: Config) -> bool:
    """Whether the configuration names definitions."""
    return bool(_places(config))


def _places(config: Config) -> list[str]:
    named = (
        config.load_definitions,
        config.management_load_definitions,
        config.definitions_local_path,
    )
    return [path for path in named if path]


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("*.json")) if place.is_dir() else [place]


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError([f"load_definitions: {path}: {error.strerror}"]) from None
