"""The table of settings, continued: TLS and the PROXY protocol.

Owns: `TLS_SETTINGS`, and `tls_rows`, the rows of any place that has certificates.
"""

from broker.config.kinds import FLAG, LISTENER, MAX_MS, SECRET, TEXT, choice, integer, unset_or
from broker.config.rows import Family, Setting, by_word, member_values

_FILE = unset_or(TEXT)


def tls_rows(prefix: str, section: str) -> tuple[Setting, ...]:
    """Give the rows below the key `prefix`; they fill the `TlsOptions` of Config's `section`."""
    return (
        *_file_rows(prefix, section),
        *_client_rows(prefix, section),
        *_cipher_rows(prefix, section),
    )


def _file_rows(prefix: str, section: str) -> tuple[Setting, ...]:
    return (
        Setting(
            f"{prefix}.certfile",
            f"{section}.certfile",
            _FILE,
            None,
            "PEM file with the certificate shown to clients, then those between it and its "
            "authority. It is read again when it changes.",
        ),
        Setting(
            f"{prefix}.keyfile",
            f"{section}.keyfile",
            _FILE,
            None,
            "PEM file with the private key of certfile; unset means that it is in certfile.",
        ),
        Setting(
            f"{prefix}.password",
            f"{section}.password",
            unset_or(SECRET),
            None,
            "Password of an encrypted private key.",
        ),
        Setting(
            f"{prefix}.cacertfile",
            f"{section}.cacertfile",
            _FILE,
            None,
            "PEM file with the authorities that sign the certificates of clients.",
        ),
    )


def _client_rows(prefix: str, section: str) -> tuple[Setting, ...]:
    return (
        Setting(
            f"{prefix}.verify",
            f"{section}.verify",
            choice("verify_none", "verify_peer"),
            "verify_none",
            "Whether a certificate that a client shows has to be signed by one of cacertfile.",
        ),
        Setting(
            f"{prefix}.fail_if_no_peer_cert",
            f"{section}.fail_if_no_peer_cert",
            FLAG,
            False,
            "Refuse clients that show no certificate; needs verify_peer.",
        ),
        Setting(
            f"{prefix}.depth",
            f"{section}.depth",
            integer("certificates", 0, 255),
            10,
            "Most certificates between that of a client and its authority.",
        ),
        Setting(
            f"{prefix}.crl_check",
            f"{section}.crl_check",
            choice("false", "peer", "true"),
            "false",
            "Refuse revoked clients by the lists in cacertfile: the client's own certificate "
            "(peer), or each above it too (true).",
        ),
    )


def _cipher_rows(prefix: str, section: str) -> tuple[Setting, ...]:
    return (
        Family(
            f"{prefix}.versions.NUMBER",
            f"{section}.versions",
            choice("tlsv1.3", "tlsv1.2"),
            ("tlsv1.3", "tlsv1.2"),
            "Versions of TLS that are spoken; older ones are not secure.",
            gather=member_values,
            members={"1": "tlsv1.3", "2": "tlsv1.2"},
        ),
        Family(
            f"{prefix}.ciphers.NUMBER",
            f"{section}.ciphers",
            TEXT,
            (),
            "Cipher suites in order of preference, by OpenSSL's names; unset is OpenSSL's choice. "
            "Those of TLS 1.3 are on or off as a whole.",
            gather=member_values,
        ),
        Setting(
            f"{prefix}.honor_cipher_order",
            f"{section}.honor_cipher_order",
            FLAG,
            True,
            "Choose the cipher suite by our order of preference, not by the client's.",
        ),
        Setting(
            f"{prefix}.dhfile",
            f"{section}.dhfile",
            _FILE,
            None,
            "PEM file with parameters for Diffie-Hellman suites without elliptic curves.",
        ),
    )


def _sni(part: str, meaning: str) -> Family:
    key = f"leveret.sni.HOST.{part}"
    kind = SECRET if part == "password" else TEXT
    return Family(key, "tls.sni", kind, {}, meaning, gather=by_word, part=part)


TLS_SETTINGS: tuple[Setting, ...] = (
    Family(
        "listeners.ssl.NAME",
        "tls_listeners",
        LISTENER,
        (),
        "Where AMQP clients connect with TLS, by convention 5671; a port alone is every interface.",
        gather=member_values,
    ),
    Setting(
        "ssl_handshake_timeout",
        "tls_handshake_timeout_ms",
        integer("milliseconds", 1, MAX_MS),
        5000,
        "Time a client has for the TLS handshake, before handshake_timeout begins.",
    ),
    *tls_rows("ssl_options", "tls"),
    _sni(
        "certfile",
        "Certificate for clients that ask for this host name (write its dots as `\\.`); others "
        "get that of ssl_options. `*` stands for the first part of a name.",
    ),
    _sni("keyfile", "Private key of that certificate; unset means that it is in certfile."),
    _sni("password", "Password of that private key, if it is encrypted."),
    Setting(
        "proxy_protocol",
        "proxy_protocol",
        FLAG,
        False,
        "Expect the PROXY protocol (version 1 or 2) before AMQP or TLS on every AMQP listener, and "
        "take the client's address from it; clients without it are dropped.",
    ),
)
"""The rows about who may speak to a listener before AMQP begins."""
