"""The table of settings, continued: the management API.

Owns: `MANAGEMENT_SETTINGS`. See `table` for what a row means and how to add one.
"""

from broker.config.kinds import FLAG, TEXT, choice, integer, or_none, unset_or
from broker.config.rows import Setting
from broker.config.table_tls import tls_rows

_PORT = integer("port", 0, 65535)

MANAGEMENT_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "management.tcp.ip",
        "management_host",
        TEXT,
        "127.0.0.1",
        "Address of the management API; 0.0.0.0 or :: is every interface.",
    ),
    Setting(
        "management.tcp.port",
        "management_port",
        or_none(_PORT, "none"),
        15672,
        "Port of the management API; none switches it off.",
    ),
    Setting(
        "management.ssl.ip",
        "management_ssl_host",
        TEXT,
        "127.0.0.1",
        "Address of the management API over TLS; 0.0.0.0 or :: is every interface.",
    ),
    Setting(
        "management.ssl.port",
        "management_ssl_port",
        unset_or(_PORT),
        None,
        "Port of the management API over TLS; unset switches it off.",
    ),
    *tls_rows("management.ssl", "management_tls"),
    Setting(
        "management.path_prefix",
        "management_path_prefix",
        TEXT,
        "",
        "What stands before /api in every path, for a proxy that does not remove it.",
    ),
    Setting(
        "management.rates_mode",
        "management_rates_mode",
        choice("basic", "detailed", "none"),
        "basic",
        "What tools are told; rates of everything are shown in each mode.",
    ),
    Setting(
        "management.load_definitions",
        "management_load_definitions",
        unset_or(TEXT),
        None,
        "The same as load_definitions, under its older name.",
    ),
    Setting(
        "management.disable_stats",
        "management_disable_stats",
        FLAG,
        False,
        "Show no statistics, and do not sample them.",
    ),
    Setting(
        "management.enable_queue_totals",
        "management_enable_queue_totals",
        FLAG,
        False,
        "Show lengths of queues all the same when statistics are not shown.",
    ),
)
