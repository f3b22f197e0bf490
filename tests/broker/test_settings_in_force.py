"""The settings as the broker has them, as `leveret environment` shows them."""

from broker.config import load, reference
from broker.config.table import SETTINGS


def test_settings_in_force_are_written_as_an_operator_would() -> None:
    """Every key is there, with its value in the units of the file."""
    overrides = [
        "leveret.disk_reserve=1048576",
        "listeners.tcp.1=127.0.0.1:5673",
        "loopback_users=none",
    ]
    shown = reference.in_force(load(None, overrides, {})[0])
    assert set(shown) == {row.key for row in SETTINGS}
    assert shown["heartbeat"] == "60"
    assert shown["leveret.disk_reserve"] == "1MiB"
    assert shown["listeners.tcp.NAME"] == "127.0.0.1:5673"
    assert shown["loopback_users.USER"] == ""


def test_no_secret_is_among_them() -> None:
    """What is a secret is named, and its value is not shown, set or not."""
    words = ("password", "pass", "secret")
    keys = [row.key for row in SETTINGS if row.key.rpartition(".")[2].endswith(words)]
    assert {"default_pass", "ssl_options.password"} <= set(keys)
    plain = [key for key in keys if "HOST" not in key]
    overrides = [f"{key}=hunter2" for key in plain]
    shown = reference.in_force(load(None, overrides, {})[0])
    assert {shown[key] for key in keys} == {reference.SECRET_SHOWN}
    assert "hunter2" not in str(shown.values())


def test_backends_are_named_as_in_the_file() -> None:
    """Who authenticates and who authorizes is told by RabbitMQ's names, in their order."""
    overrides = ["auth_backends.1=internal", "auth_backends.2.authn=internal"]
    overrides += ["auth_backends.2.authz=http"]
    shown = reference.in_force(load(None, overrides, {})[0])
    assert shown["auth_backends.NUMBER"] == "internal, internal/http"
