"""TLS where the broker is the client, such as towards the servers that know users."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from broker.config import ConfigError
from broker.net import pem

if TYPE_CHECKING:
    from broker.config.sections import ClientTls


def client_context(prefix: str, options: ClientTls) -> ssl.SSLContext:
    """A context for these options, whose keys begin with ``prefix``; raises ``ConfigError``."""
    faults: list[str] = []
    context = ssl.create_default_context()
    if options.hostname_verification == "none" or options.verify == "verify_none":
        context.check_hostname = False
    if options.verify == "verify_none":
        context.verify_mode = ssl.CERT_NONE
    place = f"{prefix}.cacertfile"
    if options.cacertfile is not None and pem.authorities(place, options.cacertfile, faults):
        context.load_verify_locations(options.cacertfile)
    if options.certfile is not None and pem.certificate(
        prefix, options.certfile, options.keyfile, options.password, faults
    ):
        context.load_cert_chain(options.certfile, options.keyfile, options.password or "")
    if faults:
        raise ConfigError(faults)
    return context
