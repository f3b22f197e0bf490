"""Looking closer: the broker's environment, names, TLS, logins, and all of it in one report."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import click

from broker.admin.api import absent_is
from broker.admin.command import Session, command
from broker.admin.failure import EX_DATAERR, Failure, WrongArgument
from broker.admin.listings import (
    Column,
    list_bindings,
    list_channels,
    list_connections,
    list_exchanges,
    list_queues,
    show,
)
from broker.admin.policies import list_global_parameters, list_parameters, list_policies
from broker.admin.settings import environment
from broker.admin.status import cluster_status, status
from broker.admin.users import list_permissions

_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_ATTEMPTS = ("protocol", "auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded")
_DEPRECATED = {"name": Column("name"), "deprecation_phase": Column("deprecation_phase")}
_REPORT = (
    status,
    cluster_status,
    environment,
    list_connections,
    list_channels,
    list_queues,
    list_exchanges,
    list_bindings,
    list_permissions,
    list_policies,
    list_global_parameters,
    list_parameters,
)


@command
def os_env(session: Session) -> None:
    """Show the broker's environment variables that begin with RABBITMQ_ or LEVERET_."""
    node = session.node
    session.out.heading(
        f"Listing RabbitMQ-specific environment variables defined on node {node}..."
    )
    found = _own(session, "environment")
    answer = {"node": node, "result": "ok", "variables": found}
    session.out.answer("\n".join(f"{name}={value}" for name, value in found.items()), answer)


@command
@click.argument("hostname")
@click.option("--address-family", "family", default="IPv4", help="IPv4 or IPv6.")
@click.option("--online/--offline", hidden=True)
def resolve_hostname(session: Session, hostname: str, family: str, online: bool) -> None:
    """Show the addresses of a name, as this machine resolves it."""
    if family.lower() not in _FAMILIES:
        valid = ", ".join(_FAMILIES)
        raise WrongArgument(f"unsupported IP address family {family}. Valid values are: {valid}")
    session.out.heading(f"Resolving hostname {hostname} to {family} addresses...")
    try:
        found = socket.getaddrinfo(hostname, None, _FAMILIES[family.lower()], socket.SOCK_STREAM)
    except OSError as error:
        raise Failure(f"Hostname does not resolve ({error.strerror})", EX_DATAERR) from None
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    answer = {
        "address_family": family,
        "addresses": addresses,
        "hostname": hostname,
        "result": "ok",
    }
    session.out.answer("\n".join(addresses), answer)


@command
@click.option("--online/--offline", hidden=True)
def resolver_info(session: Session, online: bool) -> None:
    """Show what resolves names: the operating system, always."""
    session.out.heading("Displaying effective hostname resolver configuration...")
    facts = {"lookup": "native", "hosts_file": "/etc/hosts", "resolv_conf": "/etc/resolv.conf"}
    sections = {
        "Hostname resolver": "Lookup order: native\nHosts file: /etc/hosts\n"
        "Resolver conf file: /etc/resolv.conf"
    }
    session.out.sections(sections, {"resolver": facts, "result": "ok"})


@command
def certificates(session: Session) -> None:
    """Show the certificates of the listeners with TLS."""
    session.out.heading(f"Certificates of node {session.node} ...")
    found = _own(session, "certificates")
    lines = []
    for place in found:
        lines.append(f"{place['protocol']} on {place['interface']}, port {place['port']}:")
        for file in place["files"]:
            lines.append(f"  {file['path']}")
            for one in file["certificates"]:
                lines.append(f"    {one['subject']}, issued by {one['issuer']}")
                lines.append(f"    valid from {one['not_before']} until {one['not_after']}")
    session.out.answer("\n".join(lines) or "(none)", found)


@command
def tls_versions(session: Session) -> None:
    """List the versions of TLS that listeners can be configured for."""
    session.out.heading("Listing all TLS versions supported by the runtime...")
    versions = ["tlsv1.3", "tlsv1.2"]
    session.out.answer("\n".join(versions), {"versions": versions})


@command
@click.option("--format", "kind", default="openssl", help="openssl, the only one here.")
@click.option("--all", "every", is_flag=True, help="Those that are off by default, too.")
def cipher_suites(session: Session, kind: str, every: bool) -> None:
    """List the cipher suites of TLS that this installation offers by default."""
    if kind != "openssl":
        raise WrongArgument("Format should be openssl")
    session.out.heading("Listing available cipher suites in OpenSSL format")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if every:
        context.set_ciphers("ALL")
    names = [one["name"] for one in context.get_ciphers()]
    session.out.answer("\n".join(names), names)


@command
@click.option("--by-source", is_flag=True, hidden=True)
def list_node_auth_attempt_stats(session: Session, by_source: bool) -> None:
    """Count logins by protocol: attempts, failed and successful ones."""
    node = session.node
    session.out.heading(f'Listing authentication attempts for node "{node}" ...')
    found = session.api.get("auth", "attempts", node)
    show(session, {name: Column(name) for name in _ATTEMPTS}, found)


@command
def reset_node_auth_attempt_metrics(session: Session) -> None:
    """Count logins from 0 again."""
    node = session.node
    session.out.note(f"Reset auth attempt metrics on node {node} ...")
    session.api.delete("auth", "attempts", node)
    session.out.done()


@command
@click.argument("columns", metavar="[COLUMN]...", nargs=-1)
@click.option("--queue-timeout", hidden=True)
@click.option("--local", is_flag=True, hidden=True)
@click.option("--all", "every", is_flag=True, hidden=True)
def list_unresponsive_queues(
    session: Session, columns: tuple[str, ...], queue_timeout: str, local: bool, every: bool
) -> None:
    """List queues that do not answer: none, where the broker does."""
    session.out.heading(f"Listing unresponsive queues for vhost {session.vhost} ...")
    session.api.get("overview", columns="node")
    show(session, {"name": Column("name")}, [])


@command
def list_deprecated_features(session: Session) -> None:
    """List features of RabbitMQ that are deprecated: none that Leveret tells apart."""
    session.out.heading("Listing deprecated features ...")
    show(session, _DEPRECATED, session.api.get("deprecated-features"))


@command
def check_if_any_deprecated_features_are_used(session: Session) -> None:
    """Fail if deprecated features are in use."""
    session.out.heading(f"Checking if any deprecated features are used on node {session.node} ...")
    if used := session.api.get("deprecated-features", "used"):
        raise Failure(f"deprecated features are in use: {', '.join(one['name'] for one in used)}")
    words = f"No deprecated features are used on node {session.node}."
    session.out.answer(words, {"result": "ok", "message": words})


@command
def discover_peers(session: Session) -> None:
    """Look for other nodes: there are none."""
    session.out.heading("Discovering peers nodes ...")
    session.out.answer("No peers discovered", {"result": "ok", "peers": []})


@command
def report(session: Session) -> None:
    """Show status, settings and what there is at once, for whoever is to help."""
    session.out.heading(f"Reporting server status of node {session.node} ...")
    for one in _REPORT:
        session.out.lines([""])
        click.get_current_context().invoke(one)


def _own(session: Session, what: str) -> Any:
    """Ask for what RabbitMQ's API does not have."""
    with absent_is(Failure(f"this broker's API does not give out its {what}")):
        return session.api.get(what)
