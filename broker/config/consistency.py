"""Settings that are right each by itself and cannot stand together.

Owns: `contradictions_in`. Each line names the keys, and what to change.
"""

from collections.abc import Iterator

from broker.config.model import Config
from broker.config.sections import TlsOptions


def contradictions_in(config: Config) -> Iterator[str]:
    """Give one line for each."""
    if not config.listeners and not config.tls_listeners:
        yield "no listener: set listeners.tcp.default or listeners.ssl.default"
    if config.tls_listeners:
        yield from tls_contradictions("ssl_options", config.tls)
    if config.management_ssl_port is not None:
        yield from tls_contradictions("management.ssl", config.management_tls)
    if config.prometheus_ssl_port is not None:
        yield from tls_contradictions("prometheus.ssl", config.prometheus_tls)
    used = {backend for step in config.auth_backends for backend in step}
    cached = config.auth_cache.cached_backend
    if "cache" in used and cached == "cache":
        yield "auth_cache.cached_backend must be another backend, such as http"
    if "ldap" in used | {cached} and not config.auth_ldap.servers:
        yield "auth_ldap.servers.1 must be set: the directory to ask"
    oauth2 = config.auth_oauth2
    keys = oauth2.signing_keys or oauth2.jwks_url or oauth2.issuer
    if "oauth2" in used | {cached} and not keys:
        yield "auth_oauth2.issuer, jwks_url or signing_keys must be set, to check tokens"
    for host, parts in config.tls.sni.items():
        if "certfile" not in parts:
            yield f"leveret.sni.{host}.certfile must be set if another key of {host} is"


def tls_contradictions(prefix: str, options: TlsOptions) -> Iterator[str]:
    """Give what is missing in the options of one place with TLS."""
    if options.certfile is None:
        yield f"{prefix}.certfile must be set for TLS: it is the certificate shown to clients"
    if options.verify == "verify_peer" and options.cacertfile is None:
        yield f"{prefix}.verify = verify_peer needs {prefix}.cacertfile, the trusted authorities"
    for key, demanded in (
        ("fail_if_no_peer_cert = true", options.fail_if_no_peer_cert),
        (f"crl_check = {options.crl_check}", options.crl_check != "false"),
    ):
        if demanded and options.verify != "verify_peer":
            yield f"{prefix}.{key} needs {prefix}.verify = verify_peer"
