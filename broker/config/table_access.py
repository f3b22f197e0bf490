"""The table of settings, continued: logging in, and who is asked about it.

Owns: `ACCESS_SETTINGS`. The backends' own settings are in `table_backends`.
"""

from collections.abc import Mapping

from broker.config.kinds import FLAG, MAX_MS, SECRET, TEXT, Kind, choice, integer, or_none
from broker.config.rows import Family, Setting, by_word, member_values
from broker.config.table_backends import BACKEND_SETTINGS

BACKENDS = {
    "internal": "internal",
    "rabbit_auth_backend_internal": "internal",
    "http": "http",
    "rabbit_auth_backend_http": "http",
    "oauth2": "oauth2",
    "oauth": "oauth2",
    "uaa": "oauth2",
    "rabbit_auth_backend_oauth2": "oauth2",
    "ldap": "ldap",
    "rabbit_auth_backend_ldap": "ldap",
    "cache": "cache",
    "rabbit_auth_backend_cache": "cache",
}
"""The words of rabbitmq.conf for each backend."""


def _read_backend(text: str) -> str:
    if text not in BACKENDS:
        raise ValueError("internal, http, oauth2, ldap or cache")
    return BACKENDS[text]


_BACKEND = Kind("internal, http, oauth2, ldap, cache", _read_backend)


def _steps(members: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Give who authenticates and who authorizes, in the order of the numbers."""
    steps = []
    for _, parts in sorted(by_word(members).items(), key=lambda item: (len(item[0]), item[0])):
        authn = str(parts.get("", parts.get("authn", "internal")))
        steps.append((str(parts.get("authn", authn)), str(parts.get("authz", authn))))
    return tuple(steps)


def _backend_row(part: str, meaning: str) -> Family:
    key = f"auth_backends.NUMBER.{part}" if part else "auth_backends.NUMBER"
    members = {} if part else {"1": "internal"}
    return Family(
        key, "auth_backends", _BACKEND, (), meaning, gather=_steps, members=members, part=part
    )


ACCESS_SETTINGS: tuple[Setting, ...] = (
    Family(
        "auth_mechanisms.NUMBER",
        "auth_mechanisms",
        choice("PLAIN", "AMQPLAIN", "EXTERNAL", "ANONYMOUS"),
        ("PLAIN", "AMQPLAIN"),
        "SASL mechanisms offered to clients, in this order. EXTERNAL is login by certificate.",
        gather=member_values,
        members={"1": "PLAIN", "2": "AMQPLAIN"},
    ),
    Setting(
        "anonymous_login_user",
        "anonymous_login_user",
        or_none(TEXT, "none"),
        "guest",
        "The user that clients with the mechanism ANONYMOUS are.",
    ),
    Setting(
        "anonymous_login_pass",
        "anonymous_login_pass",
        SECRET,
        "guest",
        "Password of that user.",
    ),
    Setting(
        "ssl_cert_login_from",
        "cert_login_from",
        choice("distinguished_name", "common_name", "subject_alternative_name"),
        "distinguished_name",
        "What in a client's certificate is the name of the user, for EXTERNAL.",
    ),
    Setting(
        "ssl_cert_login_san_type",
        "cert_login_san_type",
        choice("dns", "email", "ip", "uri", "other_name"),
        "dns",
        "Which kind of subject alternative name.",
    ),
    Setting(
        "ssl_cert_login_san_index",
        "cert_login_san_index",
        integer("position", 0, 1000),
        0,
        "Which one of that kind; 0 is the first.",
    ),
    _backend_row(
        "",
        "Who says who a client is and what it may do; the next number is asked if one refuses.",
    ),
    _backend_row("authn", "The same, for who a client is only."),
    _backend_row("authz", "The same, for what it may do only."),
    Setting(
        "auth_cache.cached_backend",
        "auth_cache.cached_backend",
        _BACKEND,
        "internal",
        "The backend whose answers `cache` remembers.",
    ),
    Setting(
        "auth_cache.cache_ttl",
        "auth_cache.cache_ttl_ms",
        integer("milliseconds", 1, MAX_MS),
        15_000,
        "How long they are remembered.",
    ),
    Setting(
        "auth_cache.cache_refusals",
        "auth_cache.cache_refusals",
        FLAG,
        False,
        "Remember refusals too.",
    ),
    *BACKEND_SETTINGS,
)
"""The rows about logging in."""
