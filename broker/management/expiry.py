"""Certificates in use, and when they expire, for the health check."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509

if TYPE_CHECKING:
    from broker.config.sections import TlsOptions
    from broker.management.state import State
    from broker.services import Listening


def expiring(state: State, days: int) -> list[dict[str, Any]]:
    """The listeners with a certificate that expires within so many days, as RabbitMQ lists them."""
    limit = datetime.now(UTC) + timedelta(days=min(days, 3_000_000))
    found = []
    for place, options in _secure_places(state):
        dates = {name: _dates(file) for name, file in _files(options)}
        if any(date <= limit for listed in dates.values() for date in listed):
            shown = {
                f"{name}_expires_on": [f"{date:%Y-%m-%d %H:%M:%S}" for date in listed]
                for name, listed in dates.items()
            }
            where = {"protocol": place.protocol, "interface": place.host, "port": str(place.port)}
            found.append({"node": state.node, **where, **shown})
    return found


def _secure_places(state: State) -> Iterator[tuple[Listening, TlsOptions]]:
    config = state.server.config
    for place in state.listening():
        if place.protocol == "amqp/ssl":
            yield place, config.tls
        elif place.protocol == "https":
            yield place, config.management_tls
        elif place.protocol == "https/prometheus":
            yield place, config.prometheus_tls


def _files(options: TlsOptions) -> Iterator[tuple[str, str]]:
    for name, file in (("certfile", options.certfile), ("cacertfile", options.cacertfile)):
        if file is not None:
            yield name, file


def _dates(file: str) -> list[datetime]:
    """When the certificates of a file expire."""
    certificates = x509.load_pem_x509_certificates(Path(file).read_bytes())
    return [certificate.not_valid_after_utc for certificate in certificates]
