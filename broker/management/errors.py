"""Errors of the API: a status and RabbitMQ's body ``{"error": ..., "reason": ...}``."""

from __future__ import annotations

from typing import Any

TERM_LINE_MAX = 80  # RabbitMQ wraps longer terms


class ApiError(Exception):
    """What a request is answered with; without ``error`` the body is empty."""

    def __init__(
        self,
        status: int,
        error: str | None = None,
        reason: Any = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.body = None if error is None else {"error": error, "reason": reason}
        self.headers = headers or {}


def not_found() -> ApiError:
    """The path names something that does not exist."""
    return ApiError(404, "Object Not Found", "Not Found")


def no_vhost() -> ApiError:
    """The path names a vhost to make something in, which does not exist."""
    return ApiError(404, "not_found", "vhost_not_found")


def bad_request(reason: Any) -> ApiError:
    """The request makes no sense; ``reason`` is a text, or a list where RabbitMQ says a term."""
    return ApiError(400, "bad_request", reason)


def refused(reason: str = "Access refused.") -> ApiError:
    """The user may not do that: 401, as RabbitMQ says it."""
    return ApiError(401, "not_authorised", reason)


def missing_keys(*names: str) -> ApiError:
    """The body lacks keys."""
    terms = [f"{{key_missing,{name}}}" for name in names]
    between = "," if len(",".join(terms)) <= TERM_LINE_MAX else ",\n "
    return bad_request(f"[{between.join(terms)}]")
