"""The table of settings, continued: definitions to load, and limits of the whole node.

Owns: `DEFINITION_SETTINGS` and `LIMIT_SETTINGS`.
"""

from broker.config.kinds import FLAG, TEXT, choice, integer, or_none, unset_or
from broker.config.rows import Setting

DEFINITION_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "load_definitions",
        "load_definitions",
        unset_or(TEXT),
        None,
        "File of definitions, or directory of them, to load at every start; then there is no "
        "default user.",
    ),
    Setting(
        "definitions.import_backend",
        "definitions_import_backend",
        choice("local_filesystem"),
        "local_filesystem",
        "Where definitions come from; RabbitMQ's https is not supported.",
    ),
    Setting(
        "definitions.local.path",
        "definitions_local_path",
        unset_or(TEXT),
        None,
        "The same as load_definitions, under the name of import_backend.",
    ),
    Setting(
        "definitions.skip_if_unchanged",
        "definitions_skip_if_unchanged",
        FLAG,
        False,
        "Load definitions only if they differ from those of the last start.",
    ),
)
"""The rows about definitions."""


def _limit(key: str, name: str, unit: str, meaning: str) -> Setting:
    return Setting(key, name, or_none(integer(unit, 0, 2**31 - 1), "infinity"), None, meaning)


LIMIT_SETTINGS: tuple[Setting, ...] = (
    _limit("vhost_max", "vhost_max", "vhosts", "Most virtual hosts."),
    _limit("cluster_queue_limit", "queue_max", "queues", "Most queues, in all vhosts together."),
    _limit(
        "cluster_exchange_limit",
        "exchange_max",
        "exchanges",
        "Most exchanges, in all vhosts together, those that each vhost has included.",
    ),
    _limit(
        "channel_max_per_node",
        "node_channel_max",
        "channels",
        "Most channels, of all connections together.",
    ),
    _limit(
        "consumer_max_per_channel",
        "channel_consumer_max",
        "consumers",
        "Most consumers on one channel.",
    ),
)
"""The rows about limits."""
