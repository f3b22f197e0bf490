"""Configuration: precedence, every fault at once, RabbitMQ's syntax and units, secrets kept."""

from pathlib import Path

import pytest

from broker.config import Config, ConfigError, Listener, load, reference
from broker.config.sections import SECTIONS
from broker.config.table import SETTINGS


def read(tmp_path: Path, text: str, *overrides: str, **environ: str) -> tuple[Config, list[str]]:
    """Load a file of this text."""
    file = tmp_path / "rabbitmq.conf"
    file.write_text(text, encoding="utf-8")
    return load(str(file), overrides, environ)


def faults(tmp_path: Path, text: str, *overrides: str, **environ: str) -> list[str]:
    """The faults of a file of this text, without the directory."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, *overrides, **environ)
    return [fault.replace(f"{tmp_path}/", "") for fault in caught.value.faults]


# -- defaults and precedence ----------------------------------------------------------------------


def test_defaults_are_rabbitmqs() -> None:
    """Without any source the settings are those of a fresh RabbitMQ, and nothing is warned of."""
    config, warnings = load(None, (), {})
    assert warnings == []
    assert config.listeners == (Listener("", 5672),)
    assert (config.heartbeat_s, config.channel_max, config.frame_max) == (60, 2047, 131072)
    assert (config.default_user, config.default_pass, config.default_vhost) == (
        "guest",
        "guest",
        "/",
    )
    assert config.loopback_users == {"guest"}
    assert config.auth_mechanisms == ("PLAIN", "AMQPLAIN")
    assert config.max_message_bytes == 128 << 20


def test_precedence(tmp_path: Path) -> None:
    """Defaults give way to the file, the file to the environment, the environment to --set."""
    text = "default_user = file\ndefault_vhost = file\ndefault_pass = file\n"
    config, _ = read(
        tmp_path,
        text,
        "default_user=set",
        RABBITMQ_DEFAULT_USER="environment",
        RABBITMQ_DEFAULT_VHOST="environment",
    )
    assert config.default_user == "set"
    assert config.default_vhost == "environment"
    assert config.default_pass == "file"


def test_the_last_value_in_a_source_wins(tmp_path: Path) -> None:
    """A key written twice has its last value, as in RabbitMQ."""
    config, _ = read(tmp_path, "heartbeat = 10\nheartbeat = 20\n")
    assert config.heartbeat_s == 20
    config, _ = read(tmp_path, "", "heartbeat=10", "heartbeat=20")
    assert config.heartbeat_s == 20


def test_directory_of_files(tmp_path: Path) -> None:
    """A directory is read as conf.d: *.conf in the order of names."""
    (tmp_path / "20-late.conf").write_text("heartbeat = 20\n")
    (tmp_path / "10-early.conf").write_text("heartbeat = 10\nchannel_max = 5\n")
    (tmp_path / "30.conf.off").write_text("heartbeat = 30\n")
    config, _ = load(str(tmp_path), (), {})
    assert (config.heartbeat_s, config.channel_max) == (20, 5)


def test_listeners_of_a_later_source_replace(tmp_path: Path) -> None:
    """Listeners named on the command line replace those of the file; within a file they add up."""
    text = "listeners.tcp.a = 127.0.0.1:1\nlisteners.tcp.b = [::1]:2\n"
    config, _ = read(tmp_path, text)
    assert config.listeners == (Listener("127.0.0.1", 1), Listener("::1", 2))
    config, _ = read(tmp_path, text, "listeners.tcp.c=3")
    assert config.listeners == (Listener("", 3),)


def test_families_can_be_emptied(tmp_path: Path) -> None:
    """`= none` leaves a family without members; without any listener nothing can be served."""
    config, _ = read(tmp_path, "loopback_users = none\n")
    assert config.loopback_users == frozenset()
    assert faults(tmp_path, "listeners.tcp = none\n") == [
        "no listener: set listeners.tcp.default or listeners.ssl.default"
    ]


def test_families_that_add(tmp_path: Path) -> None:
    """Users restricted to loopback add to the default, unless taken off it by name."""
    config, _ = read(tmp_path, "loopback_users.eve = true\n")
    assert config.loopback_users == {"guest", "eve"}
    config, _ = read(tmp_path, "loopback_users.guest = false\n")
    assert config.loopback_users == frozenset()


# -- syntax ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "vhost"),
    [
        ("default_vhost = v", "v"),
        ("  default_vhost=v  ", "v"),
        ("default_vhost = v # comment", "v"),
        ("default_vhost = v#comment", "v"),
        ("default_vhost = two words", "two words"),
        ("default_vhost = 'a # b'", "a # b"),
        (r"default_vhost = 'it\'s'", "it's"),
        ('default_vhost = "v"', '"v"'),
        ("default_vhost = $(VHOST)x", "fromx"),
        ("default_vhost = '$(VHOST)'", "$(VHOST)"),
        ("default_vhost = é", "é"),
        ("default_vhost = '''v''' # comment", "v"),
        ("default_vhost = '''\n  it's # one\n\n  $(VHOST)\n'''", "it's # one\n\n  $(VHOST)"),
        ("default_vhost = '''a\nb'''\ndefault_user = u", "a\nb"),
    ],
)
def test_values(tmp_path: Path, line: str, vhost: str) -> None:
    """Values are read as RabbitMQ's parser reads them."""
    config, _ = read(tmp_path, f"# a comment\n\n{line}\n", VHOST="from")
    assert config.default_vhost == vhost


def test_escaped_dots_in_names(tmp_path: Path) -> None:
    """A dot in a user's name is written with a backslash."""
    config, _ = read(tmp_path, "loopback_users.a\\.b = true\n")
    assert config.loopback_users == {"guest", "a.b"}


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("65536", 65536),
        ("64k", 64 << 10),
        ("64kiB", 64 << 10),
        ("64kB", 64_000),
        ("64M", 64 << 20),
        ("64MiB", 64 << 20),
        ("64MB", 64_000_000),
        ("64 MB", 64_000_000),
        ("1G", 1 << 30),
        ("1GiB", 1 << 30),
        ("1GB", 10**9),
    ],
)
def test_sizes(tmp_path: Path, text: str, octets: int) -> None:
    """Sizes take RabbitMQ's suffixes: k, M, G and the iB forms are binary, the B forms decimal."""
    config, _ = read(tmp_path, f"disk_free_limit.absolute = {text}\n")
    assert config.disk_free_limit_bytes == octets


@pytest.mark.parametrize("word", ["infinity"])
def test_no_limit(tmp_path: Path, word: str) -> None:
    """RabbitMQ's words for "no limit" are understood."""
    config, _ = read(tmp_path, f"connection_max = {word}\nconsumer_timeout = undefined\n")
    assert config.connection_max is None
    assert config.consumer_timeout_ms is None


# -- faults and warnings --------------------------------------------------------------------------


def test_all_faults_are_listed(tmp_path: Path) -> None:
    """Every fault of every source is told at once, with its place and what to write instead."""
    text = """\
heartbeat = often
what is this
frame_max = 10XB
tcp_listen_options.nodelay = yes
default_permissions.read = (
listeners.tcp.a = 127.0.0.1:99999
default_vhost =
default_user = $(NOBODY)
vm_memory_high_watermark.relative = 40%
"""
    found = faults(
        tmp_path,
        text,
        "channel_max=-1",
        "novalue",
        RABBITMQ_DEFAULT_PASS_FILE="/secret",
    )
    assert set(found) == {
        "rabbitmq.conf:1: heartbeat must be a whole number from 0 to 65535, not 'often'",
        "rabbitmq.conf:2: write this line as `key = value`, or start it with #",
        "rabbitmq.conf:3: frame_max must be a size such as 65536, 64MiB (powers of 1024) or 64MB "
        "(powers of 1000), not '10XB'",
        "rabbitmq.conf:4: tcp_listen_options.nodelay must be true or false, not 'yes'",
        "rabbitmq.conf:5: default_permissions.read must be a regular expression "
        "(missing closing parenthesis), not '('",
        "rabbitmq.conf:6: listeners.tcp.a must be a port or host:port, such as 5672, "
        "127.0.0.1:5672 or [::1]:5672, not '127.0.0.1:99999'",
        "rabbitmq.conf:7: give default_vhost a value, or remove the line",
        "rabbitmq.conf:8: set the environment variable NOBODY, or do not name it",
        "rabbitmq.conf:9: vm_memory_high_watermark.relative must be a number such as 0.4, "
        "not '40%'",
        "--set channel_max must be a whole number from 0 to 65535, not '-1'",
        "--set novalue: write it as --set key=value",
        "RABBITMQ_DEFAULT_PASS_FILE is not supported: set RABBITMQ_DEFAULT_PASS instead",
    }


def test_unreadable_files(tmp_path: Path) -> None:
    """A file that is missing or no text is a fault that says what to do."""
    missing = tmp_path / "missing.conf"
    with pytest.raises(ConfigError) as caught:
        load(str(missing), (), {})
    assert caught.value.faults == (
        f"{missing}: cannot be read (No such file or directory); check --config",
    )
    missing.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError) as caught:
        load(str(missing), (), {})
    assert caught.value.faults == (f"{missing}: is not UTF-8 text; save it as UTF-8",)


def test_unknown_settings_are_one_warning(tmp_path: Path) -> None:
    """Keys nobody knows never stop the broker: one line names them all, with a suggestion."""
    config, warnings = read(tmp_path, "hartbeat = 5\nnonsense.key = x\nheartbeat = 7\n")
    assert config.heartbeat_s == 7
    (warning,) = warnings
    assert warning.startswith("unknown settings were ignored: hartbeat (")
    assert "rabbitmq.conf:1; did you mean heartbeat?)" in warning
    assert "nonsense.key" in warning


def test_settings_without_meaning_are_one_warning(tmp_path: Path) -> None:
    """Keys of RabbitMQ that have nothing to act on here are named in one line of their own."""
    text = """\
cluster_formation.peer_discovery_backend = k8s
ssl_options.honor_ecc_order = true
queue_master_locator = min-masters
stomp.listeners.tcp.1 = 1
nonsense = x
"""
    _, warnings = read(tmp_path, text)
    without_effect, unknown = warnings
    assert without_effect.startswith("settings that have no effect in Leveret were ignored: ")
    for key in (
        "cluster_formation",
        "ssl_options.honor_ecc_order",
        "queue_master_locator",
        "stomp",
    ):
        assert key in without_effect
    assert unknown.startswith("unknown settings were ignored: nonsense")


# -- secrets --------------------------------------------------------------------------------------


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """A password appears in no repr, no warning and no fault."""
    config, warnings = read(tmp_path, "default_pass = hunter2\nnonsense = 1\n")
    assert config.default_pass == "hunter2"
    assert "hunter2" not in repr(config)
    assert "hunter2" not in "".join(warnings)
    for key in ("default_pass", "default_user"):
        (fault,) = faults(tmp_path, f"{key} = encrypted:hunter2\n")
        assert "hunter2" not in fault
        assert f"{key} must be plain text" in fault


def test_a_value_without_an_end(tmp_path: Path) -> None:
    """Three quotes need three others, with nothing behind them."""
    for text in ("default_vhost = '''v\nheartbeat = 1\n", "default_vhost = '''v''' w\n"):
        (fault,) = faults(tmp_path, text)
        assert "rabbitmq.conf:1: end the value of default_vhost with '''" in fault


# -- the reference text ---------------------------------------------------------------------------


def test_reference_file_is_current() -> None:
    """config/leveret.conf is what `leveret settings` prints."""
    file = Path(__file__).parents[2] / "config" / "leveret.conf"
    assert file.read_text(encoding="utf-8") == reference.conf_text()


def test_reference_file_changes_nothing(tmp_path: Path) -> None:
    """Every line of the reference that has a value can be uncommented without any effect."""
    lines = [
        line[1:]
        for line in reference.conf_text().splitlines()
        if line.startswith("#") and not line.startswith("# ") and "=  #" not in line
    ]
    assert len(lines) > 40
    config, warnings = read(tmp_path, "\n".join(line for line in lines if line))
    assert config == load(None, (), {})[0]
    assert not any(warning.startswith("unknown") for warning in warnings)


def test_every_setting_has_a_row_and_a_field() -> None:
    """The table and `Config` name the same settings, and no key twice."""
    fields = set(Config.__dataclass_fields__) - set(SECTIONS)
    for name, section in SECTIONS.items():
        fields |= {f"{name}.{field}" for field in section.__dataclass_fields__}
    fields -= {"management_tls.sni", "prometheus_tls.sni"}  # names of hosts are for AMQP only
    assert {row.name for row in SETTINGS} == fields
    assert len({row.key for row in SETTINGS}) == len(SETTINGS)
    assert all(row.meaning.endswith(".") and row.kind.unit for row in SETTINGS)


def test_development_settings(tmp_path: Path) -> None:
    """The settings of `make run` are valid, and reachable from this machine only."""
    file = Path(__file__).parents[2] / "config" / "development.conf"
    config, warnings = load(str(file), (), {})
    assert warnings == []
    assert {listener.host for listener in config.listeners} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("listener", "text"),
    [
        (Listener("", 5672), "*:5672"),
        (Listener("::1", 5672), "[::1]:5672"),
        (Listener("127.0.0.1", 5672), "127.0.0.1:5672"),
    ],
)
def test_listeners_are_written_as_people_do(listener: Listener, text: str) -> None:
    """A listener reads as an address."""
    assert str(listener) == text
