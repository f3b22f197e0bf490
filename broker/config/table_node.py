"""The table of settings, continued: resources, statistics and Leveret's own keys.

Owns: `NODE_SETTINGS`. See `table` for what a row means and how to add one.
"""

from broker.config.kinds import (
    FLAG,
    FRACTION,
    MAX_MS,
    MAX_SIZE,
    TEXT,
    choice,
    integer,
    size,
    unset_or,
)
from broker.config.rows import Setting

NODE_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "cluster_name",
        "cluster_name",
        unset_or(TEXT),
        None,
        "Name shown to clients and tools; unset shows the node name.",
    ),
    Setting(
        "vm_memory_high_watermark.relative",
        "memory_high_watermark_relative",
        FRACTION,
        0.4,
        "Share of memory above which publishers are blocked, so that the broker survives.",
        live=True,
    ),
    Setting(
        "vm_memory_high_watermark.absolute",
        "memory_high_watermark_bytes",
        unset_or(size(0, MAX_SIZE)),
        None,
        "Memory above which publishers are blocked; when set, the relative one is not used.",
        live=True,
    ),
    Setting(
        "total_memory_available_override_value",
        "total_memory_bytes",
        unset_or(size(0, MAX_SIZE)),
        None,
        "Memory this machine has; unset: as much as it has, or as its container may use.",
    ),
    Setting(
        "disk_free_limit.absolute",
        "disk_free_limit_bytes",
        size(0, MAX_SIZE),
        50_000_000,
        "Free disk space below which publishers are blocked, so that the log can still be written.",
        live=True,
    ),
    Setting(
        "disk_free_limit.relative",
        "disk_free_limit_relative",
        unset_or(FRACTION),
        None,
        "The same as a multiple of memory; when set, the absolute one is not used.",
        live=True,
    ),
    Setting(
        "collect_statistics",
        "collect_statistics",
        choice("none", "coarse", "fine"),
        "none",
        "How much is counted.",
        later=True,
    ),
    Setting(
        "collect_statistics_interval",
        "collect_statistics_interval_ms",
        integer("milliseconds", 1, MAX_MS),
        5000,
        "How often counters are sampled for rates.",
        later=True,
    ),
    Setting(
        "leveret.data_dir",
        "data_dir",
        TEXT,
        "data",
        "Directory of the log and everything else that survives a restart.",
    ),
    Setting(
        "leveret.fast_path",
        "fast_path",
        FLAG,
        True,
        "Read publishes and acks with the short parser; false proves that it changes nothing.",
    ),
    Setting(
        "leveret.product",
        "product",
        TEXT,
        "RabbitMQ",
        "Product name told to clients; some choose their prefetch rules by it.",
    ),
    Setting(
        "leveret.version",
        "version",
        TEXT,
        "3.13.7",
        "Product version told to clients; some choose their prefetch rules by it.",
    ),
    Setting(
        "leveret.log.segment_bytes",
        "log_segment_bytes",
        size(1 << 20, 1 << 32),
        64 << 20,
        "Size at which a log file is finished and the next begun; disk is reclaimed by the file.",
    ),
    Setting(
        "leveret.messages_in_memory_max",
        "messages_in_memory_max_bytes",
        size(0, 1 << 50),
        128 << 20,
        "Memory that queued messages may take; what is above it is left on the disk.",
    ),
    Setting(
        "leveret.disk_reserve",
        "disk_reserve_bytes",
        size(0, 1 << 40),
        16 << 20,
        "Disk space kept for the log, so that acks can still be logged when the disk is full.",
    ),
    Setting(
        "leveret.drain_timeout_ms",
        "drain_timeout_ms",
        integer("milliseconds", 0, MAX_MS),
        5000,
        "Time clients have at shutdown to read their last confirms and close.",
    ),
)
