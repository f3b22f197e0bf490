"""The table of settings, continued: metrics for Prometheus.

Owns: `PROMETHEUS_SETTINGS`. See `table` for what a row means and how to add one.
"""

from broker.config.kinds import FLAG, TEXT, integer, or_none, unset_or
from broker.config.rows import Setting
from broker.config.table_tls import tls_rows

_PORT = integer("port", 0, 65535)

PROMETHEUS_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "prometheus.tcp.ip",
        "prometheus_host",
        TEXT,
        "127.0.0.1",
        "Address metrics are served on; 0.0.0.0 or :: is every interface.",
    ),
    Setting(
        "prometheus.tcp.port",
        "prometheus_port",
        or_none(_PORT, "none"),
        15692,
        "Port metrics are served on; none switches it off.",
    ),
    Setting(
        "prometheus.ssl.ip",
        "prometheus_ssl_host",
        TEXT,
        "127.0.0.1",
        "Address metrics are served on over TLS; 0.0.0.0 or :: is every interface.",
    ),
    Setting(
        "prometheus.ssl.port",
        "prometheus_ssl_port",
        unset_or(_PORT),
        None,
        "Port metrics are served on over TLS, 15691 by custom; unset switches it off.",
    ),
    *tls_rows("prometheus.ssl", "prometheus_tls"),
    Setting(
        "prometheus.authentication.enabled",
        "prometheus_authentication",
        FLAG,
        False,
        "Serve metrics only to users with the tag monitoring or administrator.",
    ),
    Setting(
        "prometheus.path",
        "prometheus_path",
        TEXT,
        "/metrics",
        "Path metrics are served under.",
    ),
    Setting(
        "prometheus.return_per_object_metrics",
        "prometheus_per_object_metrics",
        FLAG,
        False,
        "Serve metrics of each queue and connection, which is much text when there are many.",
    ),
)
"""The rows about metrics."""
