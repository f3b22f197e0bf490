"""Certificates in use: what they say, and which expire."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509

from broker.management import answers

if TYPE_CHECKING:
    from aiohttp import web

    from broker.config.sections import TlsOptions
    from broker.management.call import Call
    from broker.management.state import State
    from broker.services import Listening


async def get(call: Call) -> web.StreamResponse:
    """GET /api/certificates, which RabbitMQ does not have: those of each listener with TLS."""
    return answers.answer(
        [
            {
                "protocol": place.protocol,
                "interface": place.host,
                "port": place.port,
                "files": [
                    {"path": file, "certificates": [_shown(one) for one in _read(file)]}
                    for _, file in _files(options)
                ],
            }
            for place, options in _secure_places(call.state)
        ]
    )


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
    return [certificate.not_valid_after_utc for certificate in _read(file)]


def _read(file: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(Path(file).read_bytes())


def _shown(certificate: x509.Certificate) -> dict[str, str]:
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "not_before": f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S}",
        "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S}",
    }
