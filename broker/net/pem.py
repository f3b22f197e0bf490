"""PEM files: what is in them, and what is wrong with them in words an operator can act on.

Owns: the checks that come before OpenSSL's own, which tells neither file nor reason. Every
function appends what is wrong to ``faults``, one line each; no line has anything of a key in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


def certificate(
    prefix: str, certfile: str, keyfile: str | None, password: str | None, faults: list[str]
) -> x509.Certificate | None:
    """Give the certificate shown to clients, if it and its key can be used."""
    certificates = authorities(f"{prefix}.certfile", certfile, faults)
    key_place = f"{prefix}.keyfile" if keyfile is not None else f"{prefix}.certfile"
    key = _public_part(prefix, key_place, keyfile or certfile, password, faults)
    if not certificates or key is None:
        return None
    if _octets(certificates[0].public_key()) != _octets(key):
        faults.append(
            f"{key_place}: the key in {keyfile or certfile} is not that of the first certificate "
            f"in {certfile}; give the two that were made together"
        )
        return None
    return certificates[0]


def authorities(place: str, file: str, faults: list[str]) -> list[x509.Certificate]:
    """Give all certificates of a file."""
    octets = read(place, file, faults)
    if octets is None:
        return []
    if _CERTIFICATE not in octets:
        faults.append(f"{place}: {file} holds no certificate in PEM form (BEGIN CERTIFICATE)")
        return []
    try:
        return x509.load_pem_x509_certificates(octets)
    except ValueError:
        faults.append(f"{place}: a certificate in {file} is damaged; copy the file again")
        return []


def read(place: str, file: str, faults: list[str]) -> bytes | None:
    """Give the octets of a file."""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        faults.append(
            f"{place}: {file} cannot be read ({error.strerror}); "
            "give a file that the broker's user may read"
        )
        return None


def public_key(octets: bytes) -> PublicKeyTypes | None:
    """Give the key in a file of a public key or a certificate."""
    try:
        if _CERTIFICATE in octets:
            return x509.load_pem_x509_certificate(octets).public_key()
        return load_pem_public_key(octets)
    except ValueError:
        return None


def host_names(certificate: x509.Certificate) -> list[str]:
    """Give the hosts a certificate is for, addresses included."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)] + list(addresses)


def _public_part(
    prefix: str, place: str, file: str, password: str | None, faults: list[str]
) -> PublicKeyTypes | None:
    octets = read(place, file, faults if place.endswith("keyfile") else [])
    if octets is None:
        return None
    if b"PRIVATE KEY-----" not in octets:
        also = "" if place.endswith("keyfile") else f"; set {prefix}.keyfile"
        faults.append(f"{place}: {file} holds no private key in PEM form{also}")
        return None
    secret = password.encode() if password else None
    try:
        return load_pem_private_key(octets, secret).public_key()
    except TypeError:
        if secret is not None:  # the key is not encrypted: then no password is needed
            return load_pem_private_key(octets, None).public_key()
        faults.append(f"{place}: the key in {file} is encrypted; set {prefix}.password")
    except ValueError:
        why = f"{prefix}.password does not open it, or it" if secret else "it"
        faults.append(f"{place}: the key in {file} cannot be used: {why} is damaged")
    return None


def _octets(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
