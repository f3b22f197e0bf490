"""The table of settings: one row for every key that has a meaning here.

Owns: `SETTINGS`, the only place where key, kind, default and meaning of a setting are written: the
rows about clients and users here, the others in the modules `table_*`. To add a setting,
write a row and a field of `model.Config`, then run `make reference` to rewrite
config/leveret.conf.

A key with an upper-case word (`listeners.tcp.NAME`) is a family: any word fits there. `later`
marks a setting that is read and checked but that nothing acts on yet; setting it is named in the
warning about settings without effect. `live` marks one that may be changed while the broker runs
(`changes`).
"""

from broker.config.kinds import (
    FLAG,
    LISTENER,
    MAX_MS,
    PATTERN,
    SECRET,
    TEXT,
    integer,
    or_none,
    size,
    unset_or,
)
from broker.config.model import Listener
from broker.config.rows import Family, Setting, member_values, true_members
from broker.config.table_access import ACCESS_SETTINGS
from broker.config.table_defaults import DEFAULT_SETTINGS
from broker.config.table_limits import DEFINITION_SETTINGS, LIMIT_SETTINGS
from broker.config.table_log import LOG_SETTINGS
from broker.config.table_management import MANAGEMENT_SETTINGS
from broker.config.table_node import NODE_SETTINGS
from broker.config.table_prometheus import PROMETHEUS_SETTINGS
from broker.config.table_tls import TLS_SETTINGS

CLIENT_SETTINGS: tuple[Setting, ...] = (
    Family(
        "listeners.tcp.NAME",
        "listeners",
        LISTENER,
        (Listener("", 5672),),
        "Where AMQP clients connect; a port alone is every interface, `listeners.tcp = none` "
        "closes them all.",
        gather=member_values,
        members={"default": Listener("", 5672)},
    ),
    Setting(
        "heartbeat",
        "heartbeat_s",
        integer("seconds", 0, 65535),
        60,
        "Heartbeat interval proposed to clients, so that dead peers are noticed; 0 proposes none.",
    ),
    Setting(
        "channel_max",
        "channel_max",
        integer("channels", 0, 65535),
        2047,
        "Most channels one connection may open, so that a channel leak is noticed; 0 is no limit.",
    ),
    Setting(
        "frame_max",
        "frame_max",
        size(0, 2**31 - 1),
        131072,
        "Largest frame proposed to clients, which bounds how long one message holds a socket; "
        "0 is no limit.",
    ),
    Setting(
        "initial_frame_max",
        "initial_frame_max",
        size(4096, 2**31 - 1),
        8192,
        "Largest frame accepted before login, which bounds what a stranger can make us buffer.",
    ),
    Setting(
        "connection_max",
        "connection_max",
        or_none(integer("connections", 0, 2**31 - 1), "infinity"),
        None,
        "Most client connections at a time, so that file descriptors remain for the log.",
    ),
    Setting(
        "handshake_timeout",
        "handshake_timeout_ms",
        integer("milliseconds", 1, MAX_MS),
        10_000,
        "Time a client has to log in before its socket is closed.",
    ),
    Setting(
        "max_message_size",
        "max_message_bytes",
        size(0, 536870912),
        134217728,
        "Largest message body accepted, which bounds memory per message.",
    ),
    Setting(
        "consumer_timeout",
        "consumer_timeout_ms",
        or_none(integer("milliseconds", 1, 2**53), "undefined", "infinity", "0"),
        1_800_000,
        "Time a consumer has to acknowledge a delivery before its channel is closed.",
    ),
    Setting(
        "default_consumer_prefetch",
        "default_consumer_prefetch",
        integer("messages", 0, 65535),
        0,
        "Prefetch of consumers that set none with basic.qos; 0 is unlimited.",
    ),
    Setting(
        "tcp_listen_options.backlog",
        "tcp_backlog",
        integer("connections", 1, 65535),
        128,
        "Connections the kernel queues before they are accepted; raise it for reconnect storms.",
    ),
    Setting(
        "tcp_listen_options.nodelay",
        "tcp_nodelay",
        FLAG,
        True,
        "Send small frames at once instead of waiting for more (TCP_NODELAY).",
    ),
    Setting(
        "tcp_listen_options.keepalive",
        "tcp_keepalive",
        FLAG,
        False,
        "Let the kernel probe idle connections too (SO_KEEPALIVE).",
    ),
    Setting(
        "tcp_listen_options.linger.on",
        "tcp_linger",
        FLAG,
        True,
        "Use linger.timeout when closing a socket (SO_LINGER).",
        later=True,
    ),
    Setting(
        "tcp_listen_options.linger.timeout",
        "tcp_linger_timeout_s",
        integer("seconds", 0, 65535),
        0,
        "How long unsent data may linger after close; 0 resets the connection, as RabbitMQ does.",
        later=True,
    ),
    Setting(
        "tcp_listen_options.sndbuf",
        "tcp_sndbuf_bytes",
        unset_or(size(1, 2**31 - 1)),
        None,
        "Send buffer per socket; unset lets the kernel tune it.",
    ),
    Setting(
        "tcp_listen_options.recbuf",
        "tcp_recbuf_bytes",
        unset_or(size(1, 2**31 - 1)),
        None,
        "Receive buffer per socket; unset lets the kernel tune it.",
    ),
    Setting(
        "default_user",
        "default_user",
        TEXT,
        "guest",
        "The user that a broker without any data begins with.",
    ),
    Setting(
        "default_pass",
        "default_pass",
        SECRET,
        "guest",
        "Password of default_user; change it before opening loopback_users.",
    ),
    Setting(
        "default_vhost",
        "default_vhost",
        TEXT,
        "/",
        "Virtual host that a broker without any data begins with.",
    ),
    Setting(
        "event_exchange.vhost",
        "event_exchange_vhost",
        unset_or(TEXT),
        None,
        "Virtual host whose exchange amq.rabbitmq.event tells of what changes in the broker; "
        "default_vhost if empty.",
    ),
    Family(
        "default_user_tags.TAG",
        "default_user_tags",
        FLAG,
        ("administrator",),
        "Tags of default_user, which decide what it may manage.",
        gather=true_members,
        members={"administrator": True},
    ),
    Setting(
        "default_permissions.configure",
        "default_permissions_configure",
        PATTERN,
        ".*",
        "Names default_user may declare and delete, as a regular expression.",
    ),
    Setting(
        "default_permissions.write",
        "default_permissions_write",
        PATTERN,
        ".*",
        "Names default_user may publish and bind to, as a regular expression.",
    ),
    Setting(
        "default_permissions.read",
        "default_permissions_read",
        PATTERN,
        ".*",
        "Names default_user may consume and bind from, as a regular expression.",
    ),
    Family(
        "loopback_users.USER",
        "loopback_users",
        FLAG,
        frozenset({"guest"}),
        "Users who may only connect from this machine, because their password is well known; "
        "`loopback_users = none` lifts it for all.",
        gather=lambda members: frozenset(true_members(members)),
        members={"guest": True},
        adds=True,
    ),
)

SETTINGS = (
    *CLIENT_SETTINGS,
    *ACCESS_SETTINGS,
    *TLS_SETTINGS,
    *LIMIT_SETTINGS,
    *DEFINITION_SETTINGS,
    *DEFAULT_SETTINGS,
    *LOG_SETTINGS,
    *NODE_SETTINGS,
    *MANAGEMENT_SETTINGS,
    *PROMETHEUS_SETTINGS,
)
"""Every setting, in the order in which an operator reads them."""
