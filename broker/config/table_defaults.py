"""The table of settings, continued: what a virtual host gets when it is made.

Owns: `DEFAULT_SETTINGS`. Policies and limits are groups: the rows of one group write into one
field, by the operator's free word, which is also the name of the policy.
"""

from broker.config.kinds import PATTERN, Kind, choice, integer, or_none, unset_or
from broker.config.rows import Family, Setting, by_word

_COUNT = 2**53  # largest number that JSON readers agree on
_MS = integer("milliseconds", 0, _COUNT)
_BYTES = integer("bytes", 0, _COUNT)
_MESSAGES = integer("messages", 0, _COUNT)


def _policy(part: str, kind: Kind, meaning: str) -> Family:
    key = f"default_policies.operator.ID.{part}"
    name = "default_operator_policies"
    return Family(key, name, kind, {}, meaning, gather=by_word, part=part)


def _limit(part: str, kind: Kind, meaning: str) -> Family:
    key = f"default_limits.vhosts.ID.{part}"
    return Family(key, "default_vhost_limits", kind, {}, meaning, gather=by_word, part=part)


_APPLY_TO = choice("all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges")

DEFAULT_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "default_queue_type",
        "default_queue_type",
        unset_or(choice("classic", "quorum", "stream")),
        None,
        "Type of queues declared without x-queue-type, in new vhosts; unset is classic.",
    ),
    _policy("vhost_pattern", PATTERN, "New vhosts that get this operator policy; unset is all."),
    _policy("queue_pattern", PATTERN, "Queues the operator policy holds for; unset is all."),
    _policy("apply_to", _APPLY_TO, "Kinds of queues the operator policy holds for; unset is all."),
    _policy(
        "expires",
        integer("milliseconds", 1, _COUNT),
        "Time after which a queue that nobody uses is deleted.",
    ),
    _policy("message_ttl", _MS, "Time after which a ready message expires."),
    _policy("max_length", _MESSAGES, "Most messages ready in a queue."),
    _policy("max_length_bytes", _BYTES, "Most octets of message bodies ready in a queue."),
    _policy(
        "delivery_limit",
        integer("deliveries", 0, _COUNT),
        "How often a message may come back to a quorum queue before it is dropped.",
    ),
    _limit("pattern", PATTERN, "New vhosts that get these limits; unset is all."),
    _limit(
        "max_connections",
        or_none(integer("connections", 0, 2**31 - 1), "-1"),
        "Most connections to the vhost.",
    ),
    _limit(
        "max_queues", or_none(integer("queues", 0, 2**31 - 1), "-1"), "Most queues in the vhost."
    ),
)
"""The rows about new vhosts."""
