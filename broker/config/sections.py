"""The sections of `Config`: groups of settings that belong together.

Owns: one dataclass for each, and `SECTIONS`. A row of the table named `tls.certfile` fills the
field `certfile` of the section `tls`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """What a listener with certificates offers and demands."""

    certfile: str | None
    keyfile: str | None
    password: str | None = field(repr=False)
    cacertfile: str | None
    verify: str
    fail_if_no_peer_cert: bool
    depth: int
    crl_check: str
    versions: tuple[str, ...]
    ciphers: tuple[str, ...]
    honor_cipher_order: bool
    dhfile: str | None
    sni: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """TLS where the broker is the client."""

    verify: str
    hostname_verification: str
    cacertfile: str | None
    certfile: str | None
    keyfile: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAuth(ClientTls):
    """The web service that knows users."""

    http_method: str
    user_path: str = field(repr=False)
    vhost_path: str = field(repr=False)
    resource_path: str = field(repr=False)
    topic_path: str = field(repr=False)
    request_timeout_ms: int
    connection_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2Auth(ClientTls):
    """Whose tokens let clients in, and what their scopes mean."""

    resource_server_id: str
    scope_prefix: str | None
    additional_scopes_key: str
    scope_aliases: Mapping[str, str]
    preferred_username_claims: tuple[str, ...]
    verify_aud: bool
    issuer: str | None
    jwks_url: str | None = field(repr=False)
    signing_keys: Mapping[str, str]
    default_key: str | None
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapAuth(ClientTls):
    """The directory that knows users."""

    servers: tuple[str, ...]
    port: int
    use_ssl: bool
    use_starttls: bool
    timeout_ms: int | None
    user_dn_pattern: str
    user_bind_pattern: str | None
    dn_lookup_attribute: str | None
    dn_lookup_base: str
    dn_lookup_bind: str
    dn_lookup_user_dn: str | None
    dn_lookup_password: str | None = field(repr=False)
    other_bind: str
    other_user_dn: str | None
    other_password: str | None = field(repr=False)
    group_lookup_base: str
    query_tags: str
    query_vhost_access: str
    query_resource_access: str
    query_topic_access: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAuth:
    """What is remembered of another backend's answers."""

    cached_backend: str
    cache_ttl_ms: int
    cache_refusals: bool


SECTIONS: Mapping[str, type[Any]] = {
    "tls": TlsOptions,
    "management_tls": TlsOptions,
    "prometheus_tls": TlsOptions,
    "auth_http": HttpAuth,
    "auth_oauth2": OAuth2Auth,
    "auth_ldap": LdapAuth,
    "auth_cache": CacheAuth,
}
"""The fields of Config that have fields themselves."""
