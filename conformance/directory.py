"""A private OpenLDAP server (Debian: slapd) with a few people and groups.

Owns its process, files and port. ``PEOPLE`` have the password ``secret``, except the reader, who
looks things up for others: ``READER``.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from conformance.brokers import Child, free_port

SCHEMA = Path("/etc/ldap/schema/core.schema")
START_TIMEOUT_S = 10.0
BASE = "dc=test"
READER = ("cn=reader,dc=test", "reading")
PEOPLE = {"ann": "Smith", "bob": "Jones", "a\\2Cb": "Comma"}  # with a value of the attribute sn
GROUPS = {"admins": "cn=ann,dc=test", "outer": "cn=admins,dc=test", "lv": "cn=ann,dc=test"}
CONF = """\
include {schema}
pidfile {place}/pid
database ldif
directory {place}/data
suffix dc=test
rootdn cn=root,dc=test
rootpw root
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
"""


def _person(name: str, surname: str, password: str = "secret") -> str:
    return (
        f"dn: cn={name},dc=test\nobjectClass: person\ncn:: {_base64(name)}\nsn: {surname}\n"
        f"description: ^{surname}-\nuserPassword: {password}\n"
    )


def _base64(name: str) -> str:
    return base64.b64encode(name.replace("\\2C", ",").encode()).decode()


def _group(name: str, member: str) -> str:
    return f"dn: cn={name},dc=test\nobjectClass: groupOfNames\ncn: {name}\nmember: {member}\n"


def entries() -> str:
    """The whole directory as LDIF."""
    return "\n".join(
        [
            "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: test\no: test\n",
            *(_person(name, surname) for name, surname in PEOPLE.items()),
            _person("reader", "Reader", READER[1]),
            *(_group(name, member) for name, member in GROUPS.items()),
        ]
    )


def program() -> str | None:
    """Where the server is, if this machine has it."""
    found = shutil.which("slapd", path="/usr/sbin:/usr/libexec:/usr/lib/openldap")
    return found if SCHEMA.exists() else None


@contextlib.contextmanager
def serving(place: Path) -> Iterator[int]:
    """Run the server with its files in ``place``; gives its port."""
    slapd = program()
    assert slapd is not None, "see program()"
    (place / "data").mkdir()
    conf = place / "conf"
    conf.write_text(CONF.format(schema=SCHEMA, place=place))
    add = [slapd, "-T", "add", "-f", str(conf)]
    subprocess.run(add, input=entries().encode(), check=True)
    port = free_port()
    words = [slapd, "-d", "0", "-f", str(conf), "-h", f"ldap://127.0.0.1:{port}"]
    server = Child(words, os.environ, place)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(port):
            assert time.monotonic() < deadline, "slapd does not answer"
            time.sleep(0.02)
        yield port
    finally:
        server.kill()


def _answers(port: int) -> bool:
    with socket.socket() as tcp:
        return tcp.connect_ex(("127.0.0.1", port)) == 0
