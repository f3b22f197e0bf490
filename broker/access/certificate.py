"""The user a client certificate is for: its distinguished name, common name or alternative name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from broker.access.backend import Refused

if TYPE_CHECKING:
    from broker.config import Config

_SAN_TYPES: dict[str, type[x509.GeneralName]] = {
    "dns": x509.DNSName,
    "email": x509.RFC822Name,
    "uri": x509.UniformResourceIdentifier,
    "ip": x509.IPAddress,
    "other_name": x509.OtherName,
}
# RabbitMQ writes these so; the others have the short names of RFC 4514 or their number.
_NAMES = {
    NameOID.EMAIL_ADDRESS: "EMAILADDRESS",
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GIVENNAME",
    NameOID.INITIALS: "INITIALS",
    NameOID.GENERATION_QUALIFIER: "GENERATIONQUALIFIER",
    NameOID.TITLE: "TITLE",
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.PSEUDONYM: "PSEUDONYM",
}
_UNPRINTABLE = re.compile(r"[^ -}]+")  # so RabbitMQ sees it, which counts "~" among them


def login_name(der: bytes, config: Config) -> str:
    """The name that ``ssl_cert_login_from`` asks for, or ``Refused`` if there is none."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = _READERS[config.cert_login_from](certificate, config)
    except ValueError as error:
        raise Refused(f"the client's certificate cannot be read: {error}") from None
    if not names:
        raise Refused(f"the client's certificate has no {config.cert_login_from}")
    return names


def _distinguished_name(certificate: x509.Certificate, _: Config) -> str:
    name = certificate.subject.rfc4514_string(_NAMES)
    return _UNPRINTABLE.sub(lambda octets: "".join(f"\\{o:02X}" for o in octets[0].encode()), name)


def _common_name(certificate: x509.Certificate, _: Config) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return ",".join(_text(name.value) for name in names)


def _alternative_name(certificate: x509.Certificate, config: Config) -> str:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    wanted = _SAN_TYPES[config.cert_login_san_type]
    names = [name.value for name in found if isinstance(name, wanted)]
    return _text(names[config.cert_login_san_index]) if names[config.cert_login_san_index :] else ""


def _text(value: object) -> str:
    if isinstance(value, bytes):
        # An other name is ASN.1 that wraps a string: tag, length, and the text.
        return value[2:].decode("utf-8", "replace")
    return str(value)


_READERS = {
    "distinguished_name": _distinguished_name,
    "common_name": _common_name,
    "subject_alternative_name": _alternative_name,
}
