"""Which broker a command talks to, and as whom.

Owns: `Target`, and where its parts come from. The first source that names a place (a URL or a data
directory) decides it, the first that names a user decides who (credentials beside another place
than the one chosen are not used); in this order:

1. options: `--url`, `--data-dir`, `--username`, `--password-file`;
2. the environment: LEVERET_URL, LEVERET_DATA_DIR, LEVERET_USERNAME, LEVERET_PASSWORD and the like;
3. a TOML file, `$LEVERET_ADMIN_CONFIG` or `~/.config/leveret/admin.toml`, with one table for each
   broker; `--node NAME` chooses one, `default` is taken otherwise;
4. a broker of this machine that has made its socket in one of the usual data directories;
5. `http://127.0.0.1:15672`, if a user is named or there is somebody to ask.

Invariants:
* There is no option for a password itself: arguments are public.
* A socket in the working directory is used unasked only if it is root's or the user's own: the
  directory may be somebody else's, who waits for secrets.
* A file with a password or token that others can read is refused, not used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from broker import local_socket
from broker.admin.failure import EX_DATAERR, EX_USAGE, Failure, NoBroker

DEFAULT_URL = "http://127.0.0.1:15672"
USUAL_DATA_DIRS = (Path("data"), Path("/var/lib/leveret"))
KEYS = ("url", "data_dir", "username", "password", "password_file", "token", "ca_file")
"""What a source may say; in the environment `LEVERET_` is before them, in capitals."""
Ask = Callable[[str, bool], str]
"""Reads a line from a person: what to show them, and whether the line is a secret."""
PLACE = {"url", "data_dir"}
WHO = {"username", "token"}
SECRET = {"password", "password_file", "token"}


@dataclass(frozen=True)
class Target:
    """One broker and who asks it; the socket in `data_dir` takes nobody in particular too."""

    url: str = DEFAULT_URL
    data_dir: Path | None = None
    username: str | None = None
    password: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    expected_node: str | None = None
    """What the broker has to call itself, if a node was named that the file does not have."""

    def __str__(self) -> str:
        return f"data directory {self.data_dir}" if self.data_dir else self.url


def find(
    options: Mapping[str, str | None],
    node: str | None,
    environ: Mapping[str, str],
    ask: Ask | None,
) -> Target:
    """Put a target together; `ask` is None if nobody is there to ask."""
    table = _from_file(node, environ)
    sources = (
        {key: value for key, value in options.items() if value is not None},
        {key: environ[name] for key in KEYS if (name := f"LEVERET_{key.upper()}") in environ},
        table,
    )
    said: dict[str, str] = {}
    for source in sources:
        said = _still_open(source, said) | said
    if "url" in said and "data_dir" in said:
        raise Failure("name the broker by its URL or by its data directory, not both", EX_USAGE)
    found = _place(said)
    if found.data_dir is None or said.keys() & WHO:
        found = _with_credentials(found, said, ask)
    return replace(found, expected_node=None if table else node)


def _still_open(source: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Give what a source may add to what stronger ones said."""
    closed: set[str] = set()
    if said.keys() & PLACE:
        if "url" in source:
            return {}  # its credentials belong to the place that was not chosen
        closed |= PLACE
    if "username" in said and "username" in source:
        closed |= {"username", *SECRET}
    elif said.keys() & SECRET:
        closed |= SECRET
    return {key: value for key, value in source.items() if key not in closed}


def _place(said: Mapping[str, str]) -> Target:
    if "data_dir" in said:
        return Target(data_dir=Path(said["data_dir"]).expanduser())
    if not said.keys() & {"url", *WHO}:
        for directory in USUAL_DATA_DIRS:
            if _is_trusted(directory):
                return Target(data_dir=directory)
    url = _checked_url(said.get("url", DEFAULT_URL).rstrip("/"))
    return Target(url, ca_file=said.get("ca_file"))


def _is_trusted(directory: Path) -> bool:
    owner = local_socket.owner(directory)
    return owner is not None and (directory.is_absolute() or owner in (0, os.geteuid()))


def _with_credentials(place: Target, said: Mapping[str, str], ask: Ask | None) -> Target:
    if token := said.get("token"):
        return replace(place, token=token)
    username = said.get("username")
    if username is None:
        if ask is None:
            raise _nobody_to_ask(said)
        username = ask(f"User name for {place}", False)
    password = _password(said)
    if password is None:
        if ask is None:
            raise Failure(
                f"no password for user '{username}': set LEVERET_PASSWORD or give --password-file"
            )
        password = ask(f"Password of {username}", True)
    return replace(place, username=username, password=password)


def _checked_url(url: str) -> str:
    """Give the URL back; one that is refused is not shown, as it may hold a password."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise Failure(f"this is not a URL such as {DEFAULT_URL}", EX_USAGE)
    if parts.username or parts.password:
        raise Failure("a URL may not hold credentials: others can see it", EX_USAGE)
    return url


def _nobody_to_ask(said: Mapping[str, str]) -> Failure:
    if "url" in said:
        return Failure(f"no user for {said['url']}: set LEVERET_USERNAME and LEVERET_PASSWORD")
    looked = " or ".join(str(place) for place in USUAL_DATA_DIRS)
    return NoBroker(
        f"no broker found: there is no {local_socket.NAME} in {looked}. Name its data directory "
        "with --data-dir (you must be its user or root), or set LEVERET_URL, LEVERET_USERNAME and "
        "LEVERET_PASSWORD"
    )


def _password(said: Mapping[str, str]) -> str | None:
    if "password_file" not in said:
        return said.get("password")
    path = Path(said["password_file"]).expanduser()
    try:
        return path.read_text("utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read the password from {path}: {error}", EX_DATAERR) from None


def _from_file(node: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    home = environ.get("XDG_CONFIG_HOME") or "~/.config"
    named = environ.get("LEVERET_ADMIN_CONFIG")
    path = Path(named or f"{home}/leveret/admin.toml").expanduser()
    import tomllib  # here, because most commands find no file

    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            tables = tomllib.load(file)
    except FileNotFoundError:
        if named:
            raise Failure(f"LEVERET_ADMIN_CONFIG names {path}, which does not exist") from None
        return {}
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {path}: {error}", EX_DATAERR) from None
    table = tables.get(node or "default", {})
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise Failure(f"{path}: [{node or 'default'}] must be a table of strings", EX_DATAERR)
    if unknown := sorted(set(table) - set(KEYS)):
        raise Failure(f"{path}: unknown key {unknown[0]}; there are {', '.join(KEYS)}", EX_DATAERR)
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and {"password", "token"} & table.keys():
        raise Failure(f"{path} holds a secret and others can read it: chmod 600 {path}", EX_DATAERR)
    return table
