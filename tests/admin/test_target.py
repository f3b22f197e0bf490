"""Which broker a command asks and as whom: sources, their order, and secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from broker import local_socket
from broker.admin.failure import Failure
from broker.admin.target import DEFAULT_URL, Target, find


def config(tmp_path: Path, text: str, mode: int = 0o600) -> dict[str, str]:
    """Write the file of brokers; the environment that names it."""
    path = tmp_path / "admin.toml"
    path.write_text(text)
    path.chmod(mode)
    return {"LEVERET_ADMIN_CONFIG": str(path)}


def test_option_before_environment_before_file(tmp_path: Path) -> None:
    """The strongest source that names a place decides."""
    environ = config(tmp_path, '[default]\nurl = "http://file"\nusername = "f"\npassword = "p"\n')
    assert find({}, None, environ, None) == Target("http://file", username="f", password="p")
    environ |= {"LEVERET_URL": "http://env", "LEVERET_USERNAME": "e", "LEVERET_PASSWORD": "q"}
    assert find({}, None, environ, None) == Target("http://env", username="e", password="q")
    data_dir = {"data_dir": "/x"}
    assert find(data_dir, None, environ, None) == Target(data_dir=Path("/x"))


def test_credentials_are_not_taken_to_another_place() -> None:
    """Credentials beside a place that was not chosen are not sent to the one that was."""
    environ = {"LEVERET_URL": "http://mine", "LEVERET_USERNAME": "u", "LEVERET_PASSWORD": "secret"}
    with pytest.raises(Failure, match="no user for http://other"):
        find({"url": "http://other"}, None, environ, None)


def test_a_data_directory_has_no_credentials_to_keep() -> None:
    """A socket named by a weaker source does not take the credentials beside it away."""
    environ = {"LEVERET_DATA_DIR": "/x", "LEVERET_USERNAME": "u", "LEVERET_PASSWORD": "p"}
    found = find({"url": "http://other"}, None, environ, None)
    assert found == Target("http://other", username="u", password="p")
    assert "'p'" not in repr(found)


def test_password_of_another_user_is_not_used() -> None:
    """A password belongs to the user beside it."""
    environ = {"LEVERET_USERNAME": "u", "LEVERET_PASSWORD": "secret"}
    with pytest.raises(Failure, match="no password for user 'v'"):
        find({"username": "v"}, None, environ, None)


def test_password_file_is_its_first_line(tmp_path: Path) -> None:
    """A password file may end with a newline, and beats a password of the environment."""
    (tmp_path / "secret").write_text("word\n")
    options = {"username": "u", "password_file": str(tmp_path / "secret")}
    found = find(options, None, {"LEVERET_PASSWORD": "other"}, None)
    assert found == Target(DEFAULT_URL, username="u", password="word")


def test_node_chooses_a_table(tmp_path: Path) -> None:
    """--node names a table of the file; other names have to be the broker's own."""
    environ = config(tmp_path, '[far]\nurl = "https://far"\ntoken = "t"\n[default]\ntoken = "d"\n')
    assert find({}, "far", environ, None) == Target("https://far", token="t")
    found = find({"data_dir": "/x"}, "rabbit@host", environ, None)
    assert found == Target(data_dir=Path("/x"), expected_node="rabbit@host")


def test_file_with_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A secret in a file that others can read is none; a file without one may be public."""
    environ = config(tmp_path, '[default]\nusername = "u"\npassword = "p"\n', mode=0o640)
    with pytest.raises(Failure, match="chmod 600"):
        find({}, None, environ, None)
    environ = config(tmp_path, '[default]\ndata_dir = "/x"\n', mode=0o644)
    assert find({}, None, environ, None) == Target(data_dir=Path("/x"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[default", "cannot read"),
        ("[default]\nport = 5\n", "must be a table of strings"),
        ('[default]\nurI = "x"\n', "unknown key urI"),
        ("default = 5\n", "must be a table of strings"),
    ],
)
def test_faults_of_the_file_are_named(tmp_path: Path, text: str, fault: str) -> None:
    """A file that cannot be used says why, and is not passed over."""
    with pytest.raises(Failure, match=fault):
        find({}, None, config(tmp_path, text), None)


def test_a_broker_of_this_machine_needs_no_user(tmp_path: Path) -> None:
    """Without anything said, a socket in a usual data directory is used, before any prompt."""
    Path("data").mkdir()
    with local_socket.listen(Path("data")):
        assert find({}, None, {}, None) == Target(data_dir=Path("data"))
        named = find({"username": "u"}, None, {"LEVERET_PASSWORD": "p"}, None)
        assert named == Target(DEFAULT_URL, username="u", password="p")


def test_a_user_is_asked_for_over_the_socket_too() -> None:
    """Whoever names a user acts as that user, though the socket would let everything pass."""
    environ = {"LEVERET_DATA_DIR": "/x", "LEVERET_PASSWORD": "p"}
    found = find({"username": "u"}, None, environ, None)
    assert found == Target(data_dir=Path("/x"), username="u", password="p")


def test_a_socket_of_somebody_else_is_not_used_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the working directory could otherwise wait there for an operator's secrets."""
    owners = {Path("data"): os.geteuid() + 1}
    monkeypatch.setattr(local_socket, "owner", owners.get)
    with pytest.raises(Failure, match="no broker found"):
        find({}, None, {}, None)
    assert find({"data_dir": "data"}, None, {}, None) == Target(data_dir=Path("data"))


def test_a_person_is_asked_for_what_is_missing() -> None:
    """A person types the password unseen; a script is told what to set."""
    asked: list[tuple[str, bool]] = []

    def ask(what: str, secret: bool) -> str:
        asked.append((what, secret))
        return "typed"

    assert find({}, None, {}, ask) == Target(DEFAULT_URL, username="typed", password="typed")
    assert asked == [(f"User name for {DEFAULT_URL}", False), ("Password of typed", True)]
    with pytest.raises(Failure, match="LEVERET_PASSWORD"):
        find({}, None, {}, None)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"url": "localhost:15672"}, "not a URL"),
        ({"url": "u:p@localhost:15672"}, "not a URL"),
        ({"url": "http://[::1"}, "not a URL"),
        ({"url": "http://host:port"}, "not a URL"),
        ({"url": "http://u:p@host"}, "may not hold credentials"),
        ({"url": "http://host", "data_dir": "/x"}, "not both"),
        ({"username": "u", "password_file": "/nonexistent"}, "cannot read the password"),
    ],
)
def test_faults_of_options_are_named(options: dict[str, str], fault: str) -> None:
    """An option that makes no sense says so; no secret is repeated."""
    with pytest.raises(Failure, match=fault) as caught:
        find(options, None, {}, None)
    assert "u:p" not in str(caught.value)
