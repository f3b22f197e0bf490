"""Answers scrapes: ``/metrics`` and what is below it, on ports of its own, for HTTP and HTTPS.

Everybody gets them, unless ``prometheus.authentication.enabled`` asks for a user who may.

Paths, parameters and status codes are those of RabbitMQ's plugin. The library chooses between
Prometheus's text and OpenMetrics by what the scraper accepts.

Invariant: one scrape is made at a time, however many ask; sending it to one does not keep the next
waiting.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from broker.access.backend import Refused
from broker.http import Doors
from broker.http_login import MONITORS, Malformed, log_in
from broker.metrics import registries
from broker.metrics.clients import channels_of
from broker.metrics.family import CHUNK, Scope, Steps, histogram
from broker.metrics.loop_lag import LoopLag
from broker.metrics.memory import memory_breakdown
from broker.metrics.render import Text, render
from broker.metrics.telemetry import Telemetry
from broker.net.tls import Certificates

if TYPE_CHECKING:
    from broker.server import Server

PER_OBJECT, DETAILED, MEMORY_BREAKDOWN = "per-object", "detailed", "memory-breakdown"
DETAILED_PREFIX = "detailed_"
REALM = 'Basic realm="RabbitMQ Prometheus"'
_Page = Callable[[web.Request], Steps]


class Prometheus:
    """See the module, and ``broker.services.Service``."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._doors = Doors()
        self.listening = self._doors.listening
        self._lag = LoopLag(server.loop.time, server.loop.call_later)
        self._telemetry = Telemetry()
        self._turn = asyncio.Lock()
        self._pages: dict[str, _Page] = {
            "default": self._default,
            PER_OBJECT: self._per_object,
            DETAILED: self._detailed,
            MEMORY_BREAKDOWN: self._memory_breakdown,
        }

    async def start(self) -> None:
        """Listen, and look how late the loop is."""
        config, doors = self._server.config, self._doors
        if config.prometheus_port is not None:
            host, port = config.prometheus_host, config.prometheus_port
            await doors.open(self._application(), "http/prometheus", host, port)
        if config.prometheus_ssl_port is not None:
            host, port = config.prometheus_ssl_host, config.prometheus_ssl_port
            certificates = Certificates("prometheus.ssl", config.prometheus_tls)
            await doors.open(self._application(), "https/prometheus", host, port, certificates)
        self._lag.start()

    def _application(self) -> web.Application:
        app = web.Application()
        path = f"/{self._server.config.prometheus_path.strip('/')}".rstrip("/")
        app.router.add_get(path or "/", self._scrape)
        app.router.add_get(f"{path}/{{registry}}", self._scrape)
        return app

    async def stop(self) -> None:
        """End both."""
        self._lag.stop()
        await self._doors.close()

    # -- pages -------------------------------------------------------------------------

    def _default(self, _: web.Request) -> Steps:
        per_object = self._server.config.prometheus_per_object_metrics
        scope = self._scope_of_each() if per_object else Scope(self._server)
        yield from registries.default(scope)
        yield self._loop_lag()

    def _per_object(self, _: web.Request) -> Steps:
        yield from registries.per_object(self._scope_of_each())
        yield self._loop_lag()

    def _scope_of_each(self) -> Scope:
        return Scope(self._server, per_object=True, endpoint=PER_OBJECT)

    def _detailed(self, request: web.Request) -> Steps:
        vhosts = request.query.getall("vhost", [])
        scope = Scope(
            self._server,
            per_object=True,
            endpoint=DETAILED,
            prefix=f"rabbitmq_{DETAILED_PREFIX}",
            own=f"leveret_{DETAILED_PREFIX}",
            vhosts=frozenset(vhosts) if vhosts else None,
        )
        return registries.detailed(scope, request.query.getall("family", []))

    def _memory_breakdown(self, _: web.Request) -> Steps:
        scope = Scope(self._server, endpoint=MEMORY_BREAKDOWN)
        yield from memory_breakdown(scope)
        yield from registries.detailed(scope, ())

    def _loop_lag(self) -> Metric:
        return histogram(
            "leveret_loop_lag_seconds",
            "How late the event loop calls a timer",
            self._lag.late_us,
            unit_s=1e-6,
            first=7,
            last=23,
        )

    # -- the answer --------------------------------------------------------------------

    async def _scrape(self, request: web.Request) -> web.StreamResponse:
        if self._server.config.prometheus_authentication:
            await self._authenticate(request)
        registry = request.match_info.get("registry", "default")
        page = self._pages.get(registry)
        if page is None:
            raise web.HTTPNotFound(text="Unknown Registry")
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        compress = "gzip" in request.headers.get("Accept-Encoding", "").lower()
        encoding = "gzip" if compress else "identity"
        async with self._turn:
            begun = time.perf_counter()
            telemetry = self._telemetry.families(registry)
            steps = chain(self._count_publishes(), page(request), telemetry)
            text = await render(steps, encode, compress=compress)
        elapsed_s = time.perf_counter() - begun
        self._telemetry.note(registry, content_type, encoding, text, elapsed_s)
        return await _send(request, text, content_type, encoding)

    async def _authenticate(self, request: web.Request) -> None:
        """Let only those in who may see everything that runs."""
        authorization = request.headers.get("Authorization")
        if authorization is None:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": REALM})
        try:
            identity = await log_in(self._server, authorization, request.remote or "")
        except Malformed:
            raise web.HTTPBadRequest from None
        except Refused:
            raise _refused("not_authorized", "Login failed") from None
        if MONITORS.isdisjoint(identity.tags):
            raise _refused("not_authorised", "Not monitor user")

    def _count_publishes(self) -> Steps:
        """Have what came over the fast path counted, see ``core.counters``."""
        for number, channel in enumerate(channels_of(Scope(self._server))):
            channel.counters.count()
            if number % CHUNK == 0:
                yield None


def _refused(error: str, reason: str) -> web.HTTPUnauthorized:
    text = json.dumps({"error": error, "reason": reason})
    return web.HTTPUnauthorized(text=text, content_type="application/json")


async def _send(
    request: web.Request, text: Text, content_type: str, encoding: str
) -> web.StreamResponse:
    response = web.StreamResponse()
    response.headers["Content-Type"] = content_type
    response.headers["Content-Encoding"] = encoding
    response.content_length = text.encoded_size
    try:
        await response.prepare(request)
        for piece in text.pieces:
            await response.write(piece)
            await asyncio.sleep(0)  # a write to a quick reader does not wait by itself
        await response.write_eof()
    except ConnectionError:
        pass  # the scraper did not wait
    return response
