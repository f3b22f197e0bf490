"""What the rest of the broker sees of the configuration: typed, frozen, with units in the names.

Owns: `Config` (its sections are in `sections`), `Listener` and `ConfigError`. Defaults are not
here but in `table`, beside the key that changes them. Where RabbitMQ has "infinity" or "unset", the
value here is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.config.schedule import Schedule
from broker.config.sections import CacheAuth, HttpAuth, LdapAuth, OAuth2Auth, TlsOptions


class ConfigError(Exception):
    """The operator's settings cannot be used; one line per fault, each says what to change."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to accept connections. An empty host is every interface, IPv4 and IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write the listener as people do: `127.0.0.1:5672`, `[::1]:5672`, `*:5672`."""
        host = f"[{self.host}]" if ":" in self.host else self.host or "*"
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting that has a meaning here. `table.SETTINGS` says which key sets which field."""

    listeners: tuple[Listener, ...]
    heartbeat_s: int
    channel_max: int
    frame_max: int
    initial_frame_max: int
    connection_max: int | None
    handshake_timeout_ms: int
    tls_listeners: tuple[Listener, ...]
    tls_handshake_timeout_ms: int
    tls: TlsOptions
    proxy_protocol: bool
    max_message_bytes: int
    consumer_timeout_ms: int | None
    default_consumer_prefetch: int

    tcp_backlog: int
    tcp_nodelay: bool
    tcp_keepalive: bool
    tcp_linger: bool
    tcp_linger_timeout_s: int
    tcp_sndbuf_bytes: int | None
    tcp_recbuf_bytes: int | None

    default_user: str
    default_pass: str = field(repr=False)
    default_vhost: str
    event_exchange_vhost: str | None
    default_user_tags: tuple[str, ...]
    default_permissions_configure: str
    default_permissions_write: str
    default_permissions_read: str
    loopback_users: frozenset[str]
    auth_mechanisms: tuple[str, ...]
    auth_backends: tuple[tuple[str, str], ...]
    auth_http: HttpAuth
    auth_oauth2: OAuth2Auth
    auth_ldap: LdapAuth
    auth_cache: CacheAuth
    cert_login_from: str
    cert_login_san_type: str
    cert_login_san_index: int
    anonymous_login_user: str | None
    anonymous_login_pass: str = field(repr=False)

    vhost_max: int | None
    queue_max: int | None
    exchange_max: int | None
    node_channel_max: int | None
    channel_consumer_max: int | None

    load_definitions: str | None
    definitions_import_backend: str
    definitions_local_path: str | None
    definitions_skip_if_unchanged: bool

    default_queue_type: str | None
    default_operator_policies: Mapping[str, Mapping[str, Any]]
    default_vhost_limits: Mapping[str, Mapping[str, Any]]

    cluster_name: str | None
    memory_high_watermark_relative: float
    memory_high_watermark_bytes: int | None
    total_memory_bytes: int | None
    disk_free_limit_relative: float | None
    disk_free_limit_bytes: int

    log_level: str
    log_console: bool
    log_console_level: str | None
    log_console_stdio: str
    log_console_formatter: str
    log_console_time_format: str
    log_console_level_format: str
    log_dir: str | None
    log_file: str | None
    log_file_level: str | None
    log_file_formatter: str
    log_file_time_format: str
    log_file_level_format: str
    log_file_rotation_date: Schedule | None
    log_file_rotation_bytes: int | None
    log_file_rotation_count: int
    log_file_rotation_compress: bool
    log_lines_max: int | None
    log_exchange: bool
    log_exchange_level: str | None
    log_exchange_formatter: str
    log_exchange_time_format: str
    log_exchange_level_format: str
    log_syslog: bool
    log_syslog_level: str | None
    log_syslog_formatter: str
    log_syslog_time_format: str
    log_syslog_level_format: str
    log_syslog_host: str
    log_syslog_ip: str | None
    log_syslog_port: int
    log_syslog_transport: str
    log_syslog_protocol: str
    log_syslog_identity: str
    log_syslog_facility: str
    log_category_levels: Mapping[str, str]

    collect_statistics: str
    collect_statistics_interval_ms: int
    management_host: str
    management_port: int | None
    management_ssl_host: str
    management_ssl_port: int | None
    management_tls: TlsOptions
    management_path_prefix: str
    management_rates_mode: str
    management_load_definitions: str | None
    management_disable_stats: bool
    management_enable_queue_totals: bool
    management_body_max_bytes: int
    management_request_timeout_ms: int
    management_cors_origins: tuple[str, ...]
    management_cors_max_age_s: int | None
    management_csp: str | None
    management_hsts: str | None
    management_content_type_options: str
    management_frame_options: str | None
    management_xss_protection: str | None
    tracing_dir: str | None
    prometheus_host: str
    prometheus_port: int | None
    prometheus_ssl_host: str
    prometheus_ssl_port: int | None
    prometheus_tls: TlsOptions
    prometheus_authentication: bool
    prometheus_path: str
    prometheus_per_object_metrics: bool

    data_dir: str
    pid_file: str | None
    fast_path: bool
    product: str
    version: str
    log_segment_bytes: int
    messages_in_memory_max_bytes: int
    disk_reserve_bytes: int
    drain_timeout_ms: int
