"""Certificates made for a test: an authority, servers and clients it vouches for, and bad ones."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

PAST = datetime.now(UTC) - timedelta(days=1)


class Certificates:
    """Files in ``directory``, made when they are asked for; names become file names."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.stranger = trustme.CA()
        self.cacertfile = directory / "authority.pem"
        self.authority.cert_pem.write_to_path(str(self.cacertfile))

    def server(self, name: str = "server", host: str = "localhost", **options: object) -> Path:
        """A certificate and its key in one file, for a host."""
        return self._issue(name, self.authority, host, "127.0.0.1", **options)

    def client(self, name: str, **options: object) -> Path:
        """The same for a user called ``name``, with a mail address too."""
        return self._issue(name, self.authority, f"{name}@example.org", common_name=name, **options)

    def named(self, name: str, subject: x509.Name, *hosts: str) -> Path:
        """The same for a distinguished name, with the hosts beside it."""
        signer, authority = self._signer()
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            x509.CertificateBuilder(authority.subject, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(PAST)
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, hosts)), critical=False)
            .sign(signer, hashes.SHA256())
        )
        path = self.directory / f"{name}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(secret + made.public_bytes(Encoding.PEM))
        return path

    def revoke(self, *certificates: Path) -> None:
        """Put the authority's list of these into the file of the authority."""
        signer, authority = self._signer()
        now = datetime.now(UTC)
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(authority.subject)
            .last_update(PAST)
            .next_update(now + timedelta(days=1))
        )
        for certificate in certificates:
            octets = certificate.read_bytes()
            octets = octets[octets.index(b"-----BEGIN CERTIFICATE") :]
            number = x509.load_pem_x509_certificate(octets).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now)
            made = made.add_revoked_certificate(revoked.build())
        with self.cacertfile.open("ab") as file:
            file.write(made.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))

    def strange(self, name: str = "strange") -> Path:
        """The same from an authority nobody trusts."""
        return self._issue(name, self.stranger, "localhost", "127.0.0.1", common_name=name)

    def _signer(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key, x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())

    def _issue(self, name: str, authority: trustme.CA, *names: str, **options: object) -> Path:
        path = self.directory / f"{name}.pem"
        issued = authority.issue_cert(*names, **options)  # type: ignore[arg-type]
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    def settings(self, port: int, certificate: Path, **options: object) -> dict[str, object]:
        """What a rabbitmq.conf says of a listener with this certificate."""
        return {
            "listeners.ssl.1": f"127.0.0.1:{port}",
            "ssl_options.certfile": certificate,
            "ssl_options.keyfile": certificate,
            "ssl_options.cacertfile": self.cacertfile,
            **{f"ssl_options.{name}": value for name, value in options.items()},
        }

    def context(self, certificate: Path | None = None) -> ssl.SSLContext:
        """How a client that trusts the authority connects, with a certificate if given."""
        context = ssl.create_default_context(cafile=str(self.cacertfile))
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context
