"""What went wrong in a TLS handshake, in words an operator can act on.

Owns: ``explain`` and its tables, by what OpenSSL says. PREFIX stands for the beginning of the
keys of the settings, NAMES for the hosts our certificate is for.
"""

from __future__ import annotations

import ssl

REFUSED = (
    "it refuses PREFIX.certfile, perhaps because it uses a host name that is not one of those of "
    "the certificate (NAMES)"
)
HANDSHAKE_FAULTS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS; this port is for TLS only",
    "HTTP_REQUEST": "it speaks HTTP; this port is for AMQP over TLS",
    "UNSUPPORTED_PROTOCOL": "it speaks only versions of TLS that PREFIX.versions leaves out",
    "NO_SHARED_CIPHER": "it offers none of our cipher suites (PREFIX.ciphers)",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate, and "
    "PREFIX.fail_if_no_peer_cert demands one",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the authority of PREFIX.certfile; give the client "
    "the certificate of that authority",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it refuses PREFIX.certfile as expired; renew it",
    "SSLV3_ALERT_BAD_CERTIFICATE": REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": REFUSED,
}
UNTRUSTED = "; to trust it, add its authority to PREFIX.cacertfile"
CERTIFICATE_FAULTS = {
    "unable to get local issuer certificate": UNTRUSTED,
    "self-signed certificate": UNTRUSTED,
    "self-signed certificate in certificate chain": UNTRUSTED,
    "unable to get certificate CRL": "; add the authority's list (CRL) to PREFIX.cacertfile",
    "CRL has expired": "; put the authority's current list (CRL) into PREFIX.cacertfile",
}


def explain(error: Exception, prefix: str, names: list[str]) -> str:
    """Say why the handshake failed with ``error``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        told = error.verify_message
        text = f"its certificate is refused: {told}{CERTIFICATE_FAULTS.get(told, '')}"
    elif isinstance(error, ssl.SSLError):
        reason = error.reason or "no reason given"
        text = HANDSHAKE_FAULTS.get(reason, reason.replace("_", " ").lower())
    elif isinstance(error, ConnectionAbortedError):  # uvloop's word for its timer
        text = "it took longer than ssl_handshake_timeout"
    else:
        text = "it closed the connection"
    return text.replace("PREFIX", prefix).replace("NAMES", ", ".join(names) or "none")
