"""Environment variables of RabbitMQ and its Docker image."""

from pathlib import Path

import pytest

from broker.config import Config, ConfigError, Listener, load


def configured(*overrides: str, path: str | None = None, **environ: str) -> Config:
    """The settings under these variables; nothing is warned of."""
    config, warnings = load(path, overrides, environ)
    assert warnings == []
    return config


def test_user_and_vhost() -> None:
    """The first user, password and vhost, as Docker's image takes them."""
    config = configured(
        RABBITMQ_DEFAULT_USER="u", RABBITMQ_DEFAULT_PASS="p", RABBITMQ_DEFAULT_VHOST="v"
    )
    assert (config.default_user, config.default_pass, config.default_vhost) == ("u", "p", "v")


@pytest.mark.parametrize(
    ("environ", "listener"),
    [
        ({"RABBITMQ_NODE_PORT": "5679"}, Listener("", 5679)),
        ({"RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1"}, Listener("127.0.0.1", 5672)),
        (
            {"RABBITMQ_NODE_IP_ADDRESS": "::1", "RABBITMQ_NODE_PORT": "5679"},
            Listener("::1", 5679),
        ),
    ],
)
def test_listener(environ: dict[str, str], listener: Listener, tmp_path: Path) -> None:
    """Port and address replace the listeners of the file."""
    file = tmp_path / "rabbitmq.conf"
    file.write_text("listeners.tcp.1 = 5673\nlisteners.tcp.2 = 5674\n")
    assert configured(path=str(file), **environ).listeners == (listener,)


def test_overrides_come_last() -> None:
    """--set is stronger than a variable."""
    config = configured("listeners.tcp.default=5680", RABBITMQ_NODE_PORT="5679")
    assert config.listeners == (Listener("", 5680),)


@pytest.mark.parametrize("name", ["main.conf", "main"])
def test_config_file(name: str, tmp_path: Path) -> None:
    """RABBITMQ_CONFIG_FILE names the file, with or without its ending."""
    (tmp_path / "main.conf").write_text("heartbeat = 7\n")
    assert configured(RABBITMQ_CONFIG_FILE=str(tmp_path / name)).heartbeat_s == 7


def test_config_files(tmp_path: Path) -> None:
    """Files of the directory RABBITMQ_CONFIG_FILES override the main one, in order of names."""
    (tmp_path / "rabbitmq.conf").write_text("heartbeat = 1\nchannel_max = 1\nframe_max = 8192\n")
    more = tmp_path / "conf.d"
    more.mkdir()
    (more / "10-a.conf").write_text("heartbeat = 2\nchannel_max = 2\n")
    (more / "20-b.conf").write_text("heartbeat = 3\n")
    (more / "notes.txt").write_text("no settings\n")
    config = configured(
        RABBITMQ_CONFIG_FILE=str(tmp_path / "rabbitmq"), RABBITMQ_CONFIG_FILES=str(more)
    )
    assert (config.heartbeat_s, config.channel_max, config.frame_max) == (3, 2, 8192)


def test_the_command_line_names_the_file(tmp_path: Path) -> None:
    """With --config, RABBITMQ_CONFIG_FILE is not read."""
    file = tmp_path / "mine.conf"
    file.write_text("heartbeat = 7\n")
    config = configured(path=str(file), RABBITMQ_CONFIG_FILE=str(tmp_path / "missing"))
    assert config.heartbeat_s == 7


def test_missing_files(tmp_path: Path) -> None:
    """A file that is named has to be there; of the directory there need not be one."""
    assert configured(RABBITMQ_CONFIG_FILES=str(tmp_path / "missing")).heartbeat_s == 60
    with pytest.raises(ConfigError) as caught:
        configured(RABBITMQ_CONFIG_FILE=str(tmp_path / "missing"))
    (fault,) = caught.value.faults
    assert fault.startswith(f"{tmp_path}/missing.conf: cannot be read (")
    assert fault.endswith("check RABBITMQ_CONFIG_FILE")


def test_log_places() -> None:
    """RABBITMQ_LOGS is a file, or - for the console."""
    config = configured(RABBITMQ_LOGS="-")
    assert (config.log_console, config.log_console_stdio, config.log_file) == (True, "stdout", None)
    config = configured(RABBITMQ_LOGS="-stderr")
    assert (config.log_console, config.log_console_stdio) == (True, "stderr")
    config = configured(RABBITMQ_LOGS="/var/log/x.log", RABBITMQ_LOG_BASE="/var/log")
    assert (config.log_console, config.log_file) == (False, "/var/log/x.log")
    assert config.log_dir == "/var/log"
    config = configured(RABBITMQ_LOGS="-,x.log")
    assert (config.log_console, config.log_file) == (True, "x.log")


def test_log_levels() -> None:
    """RABBITMQ_LOG is a level, levels of categories, and the format."""
    config = configured(RABBITMQ_LOG="warning,connection=debug,+json,+color")
    assert config.log_level == "warning"
    assert dict(config.log_category_levels) == {"connection": "debug"}
    assert (config.log_console_formatter, config.log_file_formatter) == ("json", "json")


def test_faults_name_the_variable() -> None:
    """What is wrong in a variable is said with its name."""
    with pytest.raises(ConfigError) as caught:
        configured(RABBITMQ_NODE_PORT="many", RABBITMQ_LOG="loud")
    port, level = caught.value.faults
    assert port.startswith("RABBITMQ_NODE_PORT: listeners.tcp.default must be a port")
    assert level.startswith("RABBITMQ_LOG: log.level must be one of debug")


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("RABBITMQ_DEFAULT_PASS_FILE", "RABBITMQ_DEFAULT_PASS"),
        ("RABBITMQ_SSL_CERTFILE", "ssl_options.certfile in rabbitmq.conf"),
        ("RABBITMQ_MANAGEMENT_SSL_KEYFILE", "management.ssl.keyfile in rabbitmq.conf"),
        ("RABBITMQ_VM_MEMORY_HIGH_WATERMARK", "vm_memory_high_watermark in rabbitmq.conf"),
    ],
)
def test_refused_variables(name: str, instead: str) -> None:
    """A variable that RabbitMQ's image gave up is refused, and its value is not shown."""
    with pytest.raises(ConfigError) as caught:
        configured(**{name: "/run/secret"})
    assert caught.value.faults == (f"{name} is not supported: set {instead} instead",)


def test_empty_variables_are_unset() -> None:
    """A variable that is set to nothing changes nothing."""
    names = ("RABBITMQ_DEFAULT_USER", "RABBITMQ_NODE_PORT", "RABBITMQ_LOGS", "RABBITMQ_LOG")
    empty = dict.fromkeys((*names, "RABBITMQ_CONFIG_FILE", "RABBITMQ_DEFAULT_PASS_FILE"), "")
    assert configured(**empty) == configured()
