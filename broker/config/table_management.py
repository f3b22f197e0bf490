"""The table of settings, continued: the management API.

Owns: `MANAGEMENT_SETTINGS`. See `table` for what a row means and how to add one.
"""

from broker.config.kinds import FLAG, MAX_MS, TEXT, choice, integer, or_none, size, unset_or
from broker.config.rows import Family, Setting, member_values
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
    Setting(
        "management.tcp.request_timeout",
        "management_request_timeout_ms",
        integer("milliseconds", 100, MAX_MS),
        10_000,
        "Time a client has for the head of a request, and may be silent between two.",
    ),
    Setting(
        "management.http.max_body_size",
        "management_body_max_bytes",
        size(1, 1 << 30),
        20 << 20,
        "The largest body of a request; definitions of many queues may need more.",
    ),
    Family(
        "management.cors.allow_origins.NUMBER",
        "management_cors_origins",
        TEXT,
        (),
        "Sites whose pages may use the API in a browser, such as https://example.org; * is any.",
        gather=member_values,
    ),
    Setting(
        "management.cors.max_age",
        "management_cors_max_age_s",
        or_none(integer("s", 0, 1 << 31), "undefined"),
        1800,
        "How long a browser may remember what those sites are allowed.",
    ),
    Setting(
        "management.csp.policy",
        "management_csp",
        unset_or(TEXT),
        None,
        "The header Content-Security-Policy of every answer, in place of the strict ones.",
    ),
    Setting(
        "management.hsts.policy",
        "management_hsts",
        unset_or(TEXT),
        None,
        "The header Strict-Transport-Security, such as max-age=31536000; unset sends none.",
    ),
    Setting(
        "management.headers.content_type_options",
        "management_content_type_options",
        TEXT,
        "nosniff",
        "The header X-Content-Type-Options.",
    ),
    Setting(
        "management.headers.frame_options",
        "management_frame_options",
        unset_or(TEXT),
        None,
        "The header X-Frame-Options; frames are forbidden by the content security policy anyway.",
    ),
    Setting(
        "management.headers.xss_protection",
        "management_xss_protection",
        unset_or(TEXT),
        None,
        "The header X-XSS-Protection, which browsers of today ignore.",
    ),
    Setting(
        "tracing.dir",
        "tracing_dir",
        unset_or(TEXT),
        None,
        "Directory of the files that traces write; unset is traces in the data directory.",
    ),
)
