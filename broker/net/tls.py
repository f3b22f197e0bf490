"""Certificates: which one a client is shown, and replacing them while the broker runs.

``Certificates.context`` is handed to listeners once. Its SNI callback moves each handshake on to
a context with the files as they were last read, and with the certificate for the host that the
client asks for.

Invariants:
* Files that cannot be used never replace files that can: at the start they are a ``ConfigError``
  with a line for each fault, later an error in the log while the old ones stay in force.
* Where clients are verified no session is resumed, so each handshake proves the certificate anew,
  and what is taken out of cacertfile is out with the next connection.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from broker.config import ConfigError
from broker.net import pem
from broker.net.alert import AlertingContext

if TYPE_CHECKING:
    from cryptography import x509

    from broker.config.sections import TlsOptions

INTERVAL_S = 10.0  # how often to look whether a file has changed
EXPIRES_SOON = timedelta(days=30)
_VERSIONS = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}
_CRL_CHECKS = {"peer": ssl.VERIFY_CRL_CHECK_LEAF, "true": ssl.VERIFY_CRL_CHECK_CHAIN}

_log = logging.getLogger("leveret.tls")


@dataclass(frozen=True)
class _Loaded:
    """What one reading of the files gave."""

    default: ssl.SSLContext
    by_host: Mapping[str, ssl.SSLContext]
    certificates: Mapping[str, x509.Certificate]  # ours, by file; the default one first

    def for_host(self, host: str | None) -> ssl.SSLContext:
        """Choose by name, as it stands or with a wildcard for its first part."""
        if host is None:
            return self.default
        host = host.lower().rstrip(".")
        wildcard = f"*.{host.partition('.')[2]}"
        return self.by_host.get(host) or self.by_host.get(wildcard) or self.default


class Certificates:
    """The certificates of one place with TLS; ``prefix`` is how its settings begin.

    Raises ``ConfigError`` if the settings or the files cannot be used.
    """

    def __init__(self, prefix: str, options: TlsOptions) -> None:
        self.prefix = prefix
        self._options = options
        self._stamps = self._look()
        self.context = _context_without_files(prefix, options)
        self._loaded = self._load()
        self.context.sni_callback = self._choose
        self._report()

    def _choose(self, handshake: ssl.SSLObject, host: str | None, _: ssl.SSLContext) -> None:
        handshake.context = self._loaded.for_host(host)

    @property
    def host_names(self) -> list[str]:
        """The hosts that the default certificate is for."""
        return pem.host_names(next(iter(self._loaded.certificates.values())))

    def changed(self) -> bool:
        """Whether a file is not the one last read."""
        return self._look() != self._stamps

    def reload(self) -> None:
        """Read the files again; on any thread, since opening an encrypted key takes a while."""
        self._stamps = self._look()
        try:
            self._loaded = self._load()
        except ConfigError as error:
            for fault in error.faults:
                _log.error("the certificates in use stay: %s", fault)
        else:
            _log.info("%s: certificates were read again", self.prefix)
            self._report()

    def too_deep(self, handshake: ssl.SSLObject) -> bool:
        """Whether more certificates than ``depth`` are between the client's and its authority."""
        if handshake.getpeercert(binary_form=True) is None:
            return False
        # Public since Python 3.13, and there before.
        has = handshake if hasattr(handshake, "get_verified_chain") else handshake._sslobj  # type: ignore[attr-defined]
        return len(has.get_verified_chain()) - 2 > self._options.depth

    def _look(self) -> list[tuple[int, ...] | None]:
        options = self._options
        files = [options.certfile, options.keyfile, options.cacertfile, options.dhfile]
        for parts in options.sni.values():
            files += [parts["certfile"], parts.get("keyfile")]
        return [_stamp(file) for file in files if file is not None]

    def _load(self) -> _Loaded:
        faults: list[str] = []
        certificates: dict[str, x509.Certificate] = {}
        by_host: dict[str, ssl.SSLContext] = {}
        default = self._load_context(self.prefix, self._options, certificates, faults)
        for name, parts in self._options.sni.items():
            own = replace(
                self._options,
                certfile=parts["certfile"],
                keyfile=parts.get("keyfile"),
                password=parts.get("password"),
            )
            mine: dict[str, x509.Certificate] = {}
            context = self._load_context(f"leveret.sni.{name}", own, mine, faults)
            for certificate in mine.values():
                by_host |= dict.fromkeys(pem.host_names(certificate), context)
            certificates |= mine
        if faults:
            raise ConfigError(list(dict.fromkeys(faults)))
        return _Loaded(default, by_host, certificates)

    def _load_context(
        self,
        prefix: str,
        options: TlsOptions,
        certificates: dict[str, x509.Certificate],
        faults: list[str],
    ) -> ssl.SSLContext:
        """Make a context with files; a fault means that it is not to be used."""
        context = _context_without_files(self.prefix, options)
        assert options.certfile is not None
        secret = options.password or ""  # without one OpenSSL would ask at the terminal
        found = pem.certificate(prefix, options.certfile, options.keyfile, options.password, faults)
        if found is not None:
            certificates[options.certfile] = found
            try:
                context.load_cert_chain(options.certfile, options.keyfile, secret)
            except (ssl.SSLError, OSError) as error:
                why = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
                faults.append(f"{prefix}.certfile: OpenSSL refuses {options.certfile}: {why}")
        place = f"{self.prefix}.cacertfile"
        if options.cacertfile is not None and pem.authorities(place, options.cacertfile, faults):
            context.load_verify_locations(options.cacertfile)
        place = f"{self.prefix}.dhfile"
        if options.dhfile is not None and pem.read(place, options.dhfile, faults) is not None:
            try:
                context.load_dh_params(options.dhfile)
            except (ssl.SSLError, OSError):
                faults.append(f"{place}: {options.dhfile} holds no DH parameters in PEM form")
        return context

    def _report(self) -> None:
        """Warn of certificates that clients refuse, or soon will."""
        now = datetime.now(UTC)
        for file, certificate in self._loaded.certificates.items():
            begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            if end < now:
                _log.warning("%s expired on %s: clients refuse it; renew it", file, end)
            elif begin > now:
                _log.warning("%s is not valid before %s: clients refuse it until then", file, begin)
            elif end < now + EXPIRES_SOON:
                _log.warning("%s expires on %s: renew it before", file, end)


def _stamp(file: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _context_without_files(prefix: str, options: TlsOptions) -> ssl.SSLContext:
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = min(_VERSIONS[name] for name in options.versions)
    context.maximum_version = max(_VERSIONS[name] for name in options.versions)
    if options.ciphers:
        _choose_ciphers(prefix, options.ciphers, context)
    if options.verify == "verify_peer":
        required = options.fail_if_no_peer_cert
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        context.verify_flags |= _CRL_CHECKS.get(options.crl_check, 0)
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    if not options.honor_cipher_order:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _choose_ciphers(prefix: str, names: tuple[str, ...], context: ssl.SSLContext) -> None:
    """Python cannot choose among the suites of TLS 1.3: naming one leaves all of them on."""
    older = [name for name in names if not name.startswith("TLS_")]
    if len(older) == len(names):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if not older:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return
    for name in older:
        try:
            context.set_ciphers(name)
        except ssl.SSLError:
            raise ConfigError(
                [f"{prefix}.ciphers: OpenSSL has no {name!r}; `openssl ciphers` lists them"]
            ) from None
    context.set_ciphers(":".join(older))
