"""The table of settings, continued: the backends that are asked who a client is.

Owns: `BACKEND_SETTINGS`. The rows of each backend fill a section of `Config`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from broker.config.kinds import (
    ADDRESS,
    FLAG,
    MAX_MS,
    SECRET,
    TEXT,
    Kind,
    choice,
    integer,
    or_none,
    unset_or,
)
from broker.config.rows import Family, Setting, by_word, member_values

_MS = integer("milliseconds", 1, MAX_MS)
_TRUE = "{constant, true}"


def _aliases(members: Mapping[str, object]) -> Mapping[str, str]:
    """Give what each alias stands for, written in either of the two ways."""
    found = {}
    for word, parts in by_word(members).items():
        alias = str(parts.get("alias", word))
        found[alias] = str(parts.get("scope", parts.get("", "")))
    return MappingProxyType(found)


def _alias_row(part: str, meaning: str) -> Family:
    key = f"auth_oauth2.scope_aliases.NAME{'.' if part else ''}{part}"
    name = "auth_oauth2.scope_aliases"
    return Family(key, name, TEXT, {}, meaning, gather=_aliases, part=part)


def _client_tls(prefix: str, section: str, verify: str = "verify") -> tuple[Setting, ...]:
    file = unset_or(TEXT)
    verifies = choice("verify_peer", "verify_none")
    return (
        Setting(
            f"{prefix}.{verify}",
            f"{section}.verify",
            verifies,
            "verify_peer",
            "Whether the certificate of the server has to be signed by an authority that is known.",
        ),
        Setting(
            f"{prefix}.hostname_verification",
            f"{section}.hostname_verification",
            choice("wildcard", "none"),
            "wildcard",
            "Whether the certificate has to be for the host that is connected to.",
        ),
        Setting(
            f"{prefix}.cacertfile",
            f"{section}.cacertfile",
            file,
            None,
            "PEM file of authorities beside those of the system.",
        ),
        Setting(
            f"{prefix}.certfile",
            f"{section}.certfile",
            file,
            None,
            "PEM file of the certificate we show.",
        ),
        Setting(
            f"{prefix}.keyfile",
            f"{section}.keyfile",
            file,
            None,
            "PEM file of its private key; unset means that it is in certfile.",
        ),
        Setting(
            f"{prefix}.password",
            f"{section}.password",
            unset_or(SECRET),
            None,
            "Password of that private key, if it is encrypted.",
        ),
    )


def _http_path(name: str, meaning: str) -> Setting:
    default = f"http://localhost:8000/auth/{name.partition('_')[0]}"
    return Setting(f"auth_http.{name}", f"auth_http.{name}", ADDRESS, default, meaning)


_HTTP_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "auth_http.http_method",
        "auth_http.http_method",
        choice("get", "post"),
        "get",
        "How the web service is asked; with get the password is in the address.",
    ),
    _http_path("user_path", "Address that answers `allow` and tags, or `deny`, to a login."),
    _http_path("vhost_path", "Address that says whether a user may connect to a virtual host."),
    _http_path("resource_path", "Address that says what it may do with a queue or exchange."),
    _http_path("topic_path", "Address that says which routing keys it may use."),
    Setting(
        "auth_http.request_timeout",
        "auth_http.request_timeout_ms",
        _MS,
        15_000,
        "Time the web service has to answer.",
    ),
    Setting(
        "auth_http.connection_timeout",
        "auth_http.connection_timeout_ms",
        _MS,
        15_000,
        "Time it has to accept a connection.",
    ),
    *_client_tls("auth_http.ssl_options", "auth_http"),
)


def _oauth2(key: str, meaning: str, kind: Kind = TEXT) -> Setting:
    return Setting(f"auth_oauth2.{key}", f"auth_oauth2.{key}", unset_or(kind), None, meaning)


# Asymmetric ones: with another, who knows a public key could sign.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")

_OAUTH2_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "auth_oauth2.resource_server_id",
        "auth_oauth2.resource_server_id",
        TEXT,
        "rabbitmq",
        "Our name at the issuer of tokens: what their audience (aud) has to have.",
    ),
    _oauth2("scope_prefix", "What scopes for us begin with; unset is our name and a dot."),
    Setting(
        "auth_oauth2.additional_scopes_key",
        "auth_oauth2.additional_scopes_key",
        TEXT,
        "",
        "Claims that have scopes beside `scope`, with blanks between them.",
    ),
    _alias_row("", "Scopes that this one stands for, with blanks between them."),
    _alias_row("alias", "The same in two lines, for any alias: what it is called, then `.scope`."),
    _alias_row("scope", "Scopes of the alias of this number or name."),
    Family(
        "auth_oauth2.preferred_username_claims.NUMBER",
        "auth_oauth2.preferred_username_claims",
        TEXT,
        (),
        "Claims that may have the user's name; then `sub` and `client_id` are looked at.",
        gather=member_values,
    ),
    Setting(
        "auth_oauth2.verify_aud",
        "auth_oauth2.verify_aud",
        FLAG,
        True,
        "Whether the audience is checked.",
    ),
    _oauth2("issuer", "Address of the issuer: what `iss` has to be, and where its keys are found."),
    _oauth2("jwks_url", "Address of the issuer's keys, if not by its discovery document.", ADDRESS),
    Family(
        "auth_oauth2.signing_keys.NAME",
        "auth_oauth2.signing_keys",
        TEXT,
        {},
        "PEM file of a public key or certificate of the issuer; NAME is the key's id (kid).",
        gather=dict,
    ),
    _oauth2("default_key", "Id of the key for tokens that name none."),
    Family(
        "auth_oauth2.algorithms.NUMBER",
        "auth_oauth2.algorithms",
        choice(*_ALGORITHMS),
        _ALGORITHMS,
        "Algorithms that a token may be signed with.",
        gather=member_values,
        members={str(number): name for number, name in enumerate(_ALGORITHMS, 1)},
    ),
    *_client_tls("auth_oauth2.https", "auth_oauth2", verify="peer_verification"),
)


def _ldap(key: str, default: str | None, meaning: str, name: str = "") -> Setting:
    kind = TEXT if default is not None else unset_or(TEXT)
    return Setting(f"auth_ldap.{key}", f"auth_ldap.{name or key}", kind, default, meaning)


def _ldap_flag(key: str, meaning: str) -> Setting:
    return Setting(f"auth_ldap.{key}", f"auth_ldap.{key}", FLAG, False, meaning)


def _ldap_bind(key: str, prefix: str, meaning: str) -> tuple[Setting, ...]:
    way = choice("as_user", "anon")
    secret = unset_or(SECRET)
    return (
        Setting(f"auth_ldap.{key}", f"auth_ldap.{key}", way, "as_user", meaning),
        _ldap(f"{key}.user_dn", None, "DN to bind with instead.", f"{prefix}_user_dn"),
        Setting(
            f"auth_ldap.{key}.password",
            f"auth_ldap.{prefix}_password",
            secret,
            None,
            "Password of that DN.",
        ),
    )


_LDAP_SETTINGS: tuple[Setting, ...] = (
    Family(
        "auth_ldap.servers.NUMBER",
        "auth_ldap.servers",
        TEXT,
        (),
        "Directory servers; the next is asked if one cannot be reached.",
        gather=member_values,
    ),
    Setting("auth_ldap.port", "auth_ldap.port", integer("port", 1, 65535), 389, "Their port."),
    _ldap_flag("use_ssl", "Speak TLS from the beginning, usually on port 636."),
    _ldap_flag("use_starttls", "Ask for TLS before anything else is said."),
    Setting(
        "auth_ldap.timeout",
        "auth_ldap.timeout_ms",
        or_none(integer("milliseconds", 1000, MAX_MS), "infinity"),
        10_000,
        "Time a server has to answer.",
    ),
    _ldap(
        "user_dn_pattern",
        "${username}",
        "DN of a user; `${username}` stands for the name, written as DNs need it.",
    ),
    _ldap("user_bind_pattern", None, "Name to bind with; unset is the DN of the user."),
    _ldap("dn_lookup_attribute", None, "Attribute to find the entry of a user by its name."),
    _ldap("dn_lookup_base", "", "Where those entries are."),
    *_ldap_bind("dn_lookup_bind", "dn_lookup", "How to bind to look for entries."),
    *_ldap_bind("other_bind", "other", "How to bind for queries."),
    _ldap("group_lookup_base", "", "Where groups in groups are looked for."),
    _ldap(
        "queries.tags",
        "[{administrator, {constant, false}}]",
        "Tags of a user, each with a query.",
        "query_tags",
    ),
    _ldap(
        "queries.vhost_access", _TRUE, "Whether it may connect to `${vhost}`.", "query_vhost_access"
    ),
    _ldap(
        "queries.resource_access",
        _TRUE,
        "Whether it may `${permission}` the `${resource}` `${name}`.",
        "query_resource_access",
    ),
    _ldap(
        "queries.topic_access",
        _TRUE,
        "Whether it may use `${routing_key}` in the exchange `${name}`.",
        "query_topic_access",
    ),
    *_client_tls("auth_ldap.ssl_options", "auth_ldap"),
)

BACKEND_SETTINGS = (*_HTTP_SETTINGS, *_OAUTH2_SETTINGS, *_LDAP_SETTINGS)
"""The rows about backends."""
