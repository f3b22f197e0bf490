"""Headers that every answer has: what the configuration adds, and CORS.

CORS is RabbitMQ's: an origin that ``management.cors.allow_origins`` names, or any if it names
``*``, is told so in each answer; a preflight (OPTIONS) needs no credentials, and is told the
methods of the path and every header it asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from broker.config import Config


class CommonHeaders:
    """See the module; ``add`` is a signal handler of an application."""

    def __init__(self, config: Config) -> None:
        wanted = {
            "Server": "Leveret",  # and not which versions of which libraries
            "Content-Security-Policy": config.management_csp,
            "Strict-Transport-Security": config.management_hsts,
            "X-Content-Type-Options": config.management_content_type_options,
            "X-Frame-Options": config.management_frame_options,
            "X-XSS-Protection": config.management_xss_protection,
        }
        self._fixed = {name: value for name, value in wanted.items() if value is not None}
        self._origins = frozenset(config.management_cors_origins)
        self._max_age_s = config.management_cors_max_age_s

    async def add(self, request: web.Request, response: web.StreamResponse) -> None:
        """Complete an answer that is about to be sent."""
        response.headers.update(self._fixed)
        origin = request.headers.get("Origin", "null")
        if origin == "null" or self._origins.isdisjoint((origin, "*")):
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        if request.method == "OPTIONS" and "Allow" in response.headers:
            response.headers["Access-Control-Allow-Methods"] = response.headers["Allow"]
            if self._max_age_s is not None:
                response.headers["Access-Control-Max-Age"] = str(self._max_age_s)
            asked = request.headers.get("Access-Control-Request-Headers")
            if asked is not None:
                response.headers["Access-Control-Allow-Headers"] = asked
