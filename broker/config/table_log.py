"""The table of settings, continued: the log for people.

Owns: `LOG_SETTINGS`. See `table` for what a row means and how to add one.
"""

from types import MappingProxyType

from broker.config.kinds import (
    FLAG,
    LEVEL,
    LOG_FILE,
    MAX_SIZE,
    SCHEDULE,
    TEXT,
    choice,
    integer,
    or_none,
    size,
    unset_or,
)
from broker.config.rows import Family, Setting

_FORMATTER = choice("plaintext", "json")
_TIMES = choice("rfc3339_space", "rfc3339_T", "epoch_usecs", "epoch_secs", "lager_default")
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp"),
    *(f"local{number}" for number in range(8)),
)
_LEVELS = choice("lc", "uc", "lc3", "uc3", "lc4", "uc4")


def _formatter(output: str) -> tuple[Setting, ...]:
    key, name = f"log.{output}.formatter", f"log_{output}"
    return (
        Setting(
            key,
            f"{name}_formatter",
            _FORMATTER,
            "plaintext",
            "Lines for people, or a JSON object on each line for programs.",
        ),
        Setting(
            f"{key}.time_format",
            f"{name}_time_format",
            _TIMES,
            "rfc3339_space",
            "How times are written; lager_default is that of RabbitMQ before 3.9.",
        ),
        Setting(
            f"{key}.level_format",
            f"{name}_level_format",
            _LEVELS,
            "lc",
            "How levels are written: lower or upper case, perhaps in 3 or 4 letters.",
        ),
    )


LOG_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "log.level",
        "log_level",
        LEVEL,
        "info",
        "Least severe messages to log; each output may be stricter.",
        live=True,
    ),
    Setting(
        "log.console",
        "log_console",
        FLAG,
        True,
        "Log to the standard output, where systemd and containers collect it.",
    ),
    Setting(
        "log.console.level",
        "log_console_level",
        unset_or(LEVEL),
        None,
        "Least severe messages to print; unset is log.level.",
        live=True,
    ),
    Setting(
        "log.console.stdio",
        "log_console_stdio",
        choice("stdout", "stderr"),
        "stdout",
        "Which of the standard outputs log.console means.",
    ),
    *_formatter("console"),
    Setting(
        "log.dir",
        "log_dir",
        unset_or(TEXT),
        None,
        "Directory of log.file; unset is the working directory.",
    ),
    Setting(
        "log.file",
        "log_file",
        LOG_FILE,
        None,
        "File to log to; without rotation of its own it is opened again after another program's.",
    ),
    Setting(
        "log.file.level",
        "log_file_level",
        unset_or(LEVEL),
        None,
        "Least severe messages to write to log.file; unset is log.level.",
        live=True,
    ),
    *_formatter("file"),
    Setting(
        "log.file.rotation.date",
        "log_file_rotation_date",
        unset_or(SCHEDULE),
        None,
        "When log.file is begun anew: $D0 is each midnight, $W0D23 Sundays at 23, $M1D0 the first "
        "of a month, $H00 each full hour.",
    ),
    Setting(
        "log.file.rotation.size",
        "log_file_rotation_bytes",
        unset_or(size(1, MAX_SIZE)),
        None,
        "Size at which log.file is begun anew.",
    ),
    Setting(
        "log.file.rotation.count",
        "log_file_rotation_count",
        integer("files", 1, 1000),
        10,
        "Finished log files to keep.",
    ),
    Setting(
        "log.file.rotation.compress",
        "log_file_rotation_compress",
        FLAG,
        False,
        "Compress finished log files with gzip.",
    ),
    Setting(
        "log.exchange",
        "log_exchange",
        FLAG,
        False,
        "Publish the log to the topic exchange amq.rabbitmq.log of default_vhost, by level.",
    ),
    Setting(
        "log.exchange.level",
        "log_exchange_level",
        unset_or(LEVEL),
        None,
        "Least severe messages to publish; unset is log.level.",
        live=True,
    ),
    *_formatter("exchange"),
    Setting(
        "log.syslog",
        "log_syslog",
        FLAG,
        False,
        "Send the log to a syslog server.",
    ),
    Setting(
        "log.syslog.level",
        "log_syslog_level",
        unset_or(LEVEL),
        None,
        "Least severe messages to send; unset is log.level.",
        live=True,
    ),
    *_formatter("syslog"),
    Setting(
        "log.syslog.host",
        "log_syslog_host",
        TEXT,
        "127.0.0.1",
        "The syslog server, by name or address.",
    ),
    Setting(
        "log.syslog.ip",
        "log_syslog_ip",
        unset_or(TEXT),
        None,
        "The same; when set, it is this one.",
    ),
    Setting(
        "log.syslog.port",
        "log_syslog_port",
        integer("port", 1, 65535),
        514,
        "Its port.",
    ),
    Setting(
        "log.syslog.transport",
        "log_syslog_transport",
        choice("udp"),
        "udp",
        "How lines get there. With TCP a slow server would hold up the broker: for that, have a "
        "server on this machine forward them.",
    ),
    Setting(
        "log.syslog.protocol",
        "log_syslog_protocol",
        choice("rfc3164", "rfc5424"),
        "rfc3164",
        "The form of the messages.",
    ),
    Setting(
        "log.syslog.identity",
        "log_syslog_identity",
        TEXT,
        "leveret",
        "What the broker calls itself in them.",
    ),
    Setting(
        "log.syslog.facility",
        "log_syslog_facility",
        choice(*_FACILITIES),
        "daemon",
        "Their facility.",
    ),
    Setting(
        "leveret.log_lines_max",
        "log_lines_max",
        or_none(integer("lines", 1, 1_000_000), "unlimited"),
        100,
        "Lines of one kind that one address may cause in 10 seconds; those above it are counted, "
        "and told in one line.",
        live=True,
    ),
    Family(
        "log.CATEGORY.level",
        "log_category_levels",
        LEVEL,
        MappingProxyType({}),
        "Least severe messages of one category, such as connection or queue.",
        gather=lambda members: MappingProxyType(dict(members)),
        live=True,
    ),
)
"""The rows about the log."""
