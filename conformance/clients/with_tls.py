"""pika, aio-pika and Celery over TLS, with a certificate of their own or without; bad ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import pika
from pika.exceptions import AMQPConnectionError

from conformance.brokers import free_port
from conformance.certificates import PAST, Certificates
from conformance.clients import support
from conformance.clients.support import Target, equal, unique


@dataclass(frozen=True)
class Place:
    """A broker with TLS, which takes certificates of clients and trusts an authority of ours."""

    certificates: Certificates
    port: int
    client: Path

    def pika(self, context: ssl.SSLContext, host: str = "localhost") -> pika.BlockingConnection:
        """Connect with pika."""
        return pika.BlockingConnection(
            pika.ConnectionParameters(
                "127.0.0.1", self.port, ssl_options=pika.SSLOptions(context, host)
            )
        )


@contextlib.contextmanager
def session(target: Target) -> Iterator[Place]:
    """Start a broker of the same kind, with certificates made for it."""
    with tempfile.TemporaryDirectory(prefix="tls-") as directory, serve(target, directory) as place:
        yield place


@contextlib.contextmanager
def serve(target: Target, directory: str, **server: object) -> Iterator[Place]:
    """Start a broker with a certificate of its own."""
    certificates, port = Certificates(Path(directory)), free_port()
    certificate = certificates.server(**server)  # type: ignore[arg-type]
    settings = certificates.settings(port, certificate, verify="verify_peer")
    with target.another(**{key.replace(".", "__"): value for key, value in settings.items()}):
        yield Place(certificates, port, certificates.client("ann"))


def round_trip(connection: pika.BlockingConnection) -> None:
    """Publish a large message with a confirm, and get it back."""
    channel = connection.channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"x" * 1_000_000, mandatory=True)
    equal(len(channel.basic_get(queue, auto_ack=True)[2]), 1_000_000, "size")
    connection.close()


def check_pika(place: Place) -> None:
    """pika works over TLS, with a client certificate and without."""
    round_trip(place.pika(place.certificates.context()))
    round_trip(place.pika(place.certificates.context(place.client)))


def check_pika_is_told_why(place: Place) -> None:
    """pika's error says what is wrong with the broker's certificate."""
    for context, host, reason in (
        (ssl.create_default_context(), "localhost", "self-signed certificate"),
        (place.certificates.context(), "other.example.org", "Hostname mismatch"),
    ):
        try:
            place.pika(context, host).close()
        except (ssl.SSLError, AMQPConnectionError) as error:
            told = repr(error)
        else:
            told = "connected"
        assert reason in told, f"{reason!r} is not in {told}"


def check_pika_with_a_certificate_that_is_refused(place: Place) -> None:
    """A client certificate that is expired or of a strange authority does not get in."""
    for certificate in (
        place.certificates.strange(),
        place.certificates.client("old", not_after=PAST),
    ):
        try:
            place.pika(place.certificates.context(certificate)).close()
        except (ssl.SSLError, AMQPConnectionError):
            continue
        raise AssertionError("a bad certificate was taken")


def check_aio_pika(place: Place) -> None:
    """aio-pika works over TLS, with a client certificate and without."""

    async def run(context: ssl.SSLContext) -> None:
        url = f"amqps://guest:guest@localhost:{place.port}/"
        connection = await aio_pika.connect_robust(url, ssl_context=context)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            message = aio_pika.Message(b"x" * 1_000_000)
            await channel.default_exchange.publish(message, queue.name)
            equal(len((await queue.get(timeout=10)).body), 1_000_000, "size")

    asyncio.run(run(place.certificates.context()))
    asyncio.run(run(place.certificates.context(place.client)))


def check_celery(place: Place) -> None:
    """A Celery worker and its client work over TLS with certificates of their own."""
    celery = support.load("with_celery")
    options = {
        "ca_certs": str(place.certificates.cacertfile),
        "certfile": str(place.client),
        "keyfile": str(place.client),
        "cert_reqs": int(ssl.CERT_REQUIRED),
    }
    os.environ["CONFORMANCE_TLS"] = json.dumps(options)
    try:
        url = f"amqps://guest:guest@localhost:{place.port}//"
        with celery.Worker(url, unique("celery.tls")) as worker:
            equal(worker.send("add", 2, 3).get(timeout=celery.RESULT_S), 5, "result")
    finally:
        del os.environ["CONFORMANCE_TLS"]


if __name__ == "__main__":
    sys.exit(support.main(__name__))
